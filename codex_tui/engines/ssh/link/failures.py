"""Says why a command on another machine failed, from what ssh printed and returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean, shorten
from codex_tui.engines.ssh.link.explain import CUT, explain_failure, find_remedy
from codex_tui.engines.ssh.link.master import Deadline

SSH_FAILED = 255  # the exit code by which ssh says that it failed itself


class Unreachable(CodexError):
    """The other machine can't be reached, or the connection was cut. What runs over there may still run.

    `reason` is a few words, such as "it refuses the login".
    """

    def __init__(self, name: str, reason: str, hint: str = "") -> None:
        self.reason = reason
        super().__init__(f"{name} can't be reached: {reason}.", hint)


class RemoteFailed(CodexError):
    """A command ran over there and failed with `code`. `stderr` is what it printed, which may be any text."""

    def __init__(self, name: str, program: str, code: int, stderr: str) -> None:
        self.code, self.stderr = code, stderr
        lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["it printed nothing"]
        line = next(filter(find_remedy, lines), lines[-1])
        message = f"{program} failed on {name} (exit code {code}): {shorten(clean(line), 300)}"
        super().__init__(message, find_remedy(line))


@dataclass(frozen=True)
class FailureReader:
    """Explains the failures of commands on `host`, which the errors call `name`. `marker` is the line that begins what
    a command prints, after the texts of the shell over there."""

    host: str
    name: str
    marker: str

    @property
    def marker_line(self) -> bytes:
        return f"{self.marker}\n".encode()

    def check(self, program: str, code: int, errors: IO[bytes], *, begun: bool, before: bytes = b"") -> None:
        """Raise the error that the exit code and stderr show, if there is one. `begun`: the shell over there has
        started the command. `before`: what that shell printed before."""
        errors.seek(0)
        text = errors.read().decode(errors="replace")
        if code == SSH_FAILED and begun:
            raise Unreachable(self.name, *CUT)
        if code == SSH_FAILED:
            raise self.explain(text)
        if not begun:
            raise self.explain(f"{before.decode(errors='replace')}\n{text}", answered=True)
        if code:
            raise RemoteFailed(self.name, program, code, text.partition(f"{self.marker}\n")[2] or text)

    def explain(self, text: str, *, answered: bool = False) -> Unreachable:
        """Return the error that ssh printed as `text`. `answered`: see `explain_failure`."""
        return Unreachable(self.name, *explain_failure(text, self.host, answered=answered))

    def explain_silence(self, deadline: Deadline) -> Unreachable:
        reason = f"no answer within {deadline.seconds:.0f} s"
        return Unreachable(self.name, reason, "Check the network, then try it again.")
