"""The app on a remote: this very version of it, installed on demand, and its commands run over ssh."""

from __future__ import annotations

import json
import re
import select
from pathlib import Path
from typing import Any

import msgspec

from codex_tui.base.errors import BadInput, CodexError, EnvironmentMissing
from codex_tui.base.progress import JSON_VARIABLE, OnProgress, Progress, ignore_progress
from codex_tui.base.text import clean
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import RemoteFailed
from codex_tui.engines.ssh.link.stream import Stream
from codex_tui.engines.ssh.remote.advice import advise_from_here, name_run_from_here
from codex_tui.engines.ssh.remote.installer import Installer
from codex_tui.engines.ssh.remote.package import make_package
from codex_tui.engines.ssh.remote.remotes import Remote
from codex_tui.runs.resume_point import NoWholeCheckpoint

# What `codex-tui` prints about a mistake, and what argparse prints about a wrong option.
_ERROR = re.compile(r"^codex-tui(?: [a-z]+)*: (?:error: )?(.+)\n((?:.|\n)*)\Z", re.MULTILINE)
_KINDS = {kind.exit_code: kind for kind in (BadInput, EnvironmentMissing, NoWholeCheckpoint)}
LOOK_SECONDS = 0.3


class NoJson(CodexError):
    """A command of the app over there ended without an answer."""


class RemoteApp:
    """The app of `remote`. Its folder is named after the version and the content, so that a run over there never sees
    another version than the one that it was started with."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.connection = Connection(remote.host, remote.name)
        self._is_ready = False

    @property
    def folder(self) -> str:
        return f"{self.remote.root}/app/{make_package().name}"

    @property
    def python(self) -> str:
        """The Python that the app runs on, over there."""
        return f"{self.folder}/venv/bin/python"

    def make_command(self, *arguments: str) -> list[str]:
        """Return the command over there that runs `codex-tui ARGUMENTS`. Neither the folder where it runs nor a
        PYTHONPATH of the person can put other modules in the place of ours."""
        variables = {"CODEX_TUI_HOME": self.remote.root} | self.remote.uv_folders
        return ["env", *map("=".join, variables.items()), self.python, "-E", "-P", "-m", "codex_tui", *arguments]

    def call(
        self,
        *arguments: str,
        report: OnProgress = ignore_progress,
        reports_failure: bool = False,
        folders: tuple[str, Path] | None = None,
    ) -> Any:
        """Run `codex-tui ARGUMENTS` over there and return the JSON that it prints. `report` gets its progress.
        `reports_failure`: its JSON counts whatever its exit code is. `folders`: where the run of the command is over
        there and here, if it is about a run, so that an error calls it by its name here.

        Raises the error that it prints, Unreachable, and CodexError if the app is not installed over there.
        """
        command = ["env", f"{JSON_VARIABLE}=json", *self.make_command(*arguments)]
        with self.connection.stream(command) as stream:
            output = _read_output(stream, report)
            try:
                stream.finish()
            except RemoteFailed as failed:
                if not (reports_failure and output):
                    raise self._explain(failed, output, arguments[0], folders) from None
        return self._parse(output, arguments[0])

    def is_installed(self) -> bool:
        """Whether the app of this very version is over there."""
        return self.connection.run(["sh", "-c", '[ -x "$1" ] && echo yes; true', "sh", self.python]) == b"yes\n"

    def ensure(self, report: OnProgress = ignore_progress) -> None:
        """Install the app of this version over there, unless it is there. Asks once. Raises Unreachable, CodexError."""
        if not self._is_ready and not self.is_installed():
            Installer(self.connection, self.remote, self.make_command()).install(report)
        self._is_ready = True

    def _explain(
        self, failed: RemoteFailed, output: bytes, command: str, folders: tuple[str, Path] | None = None
    ) -> CodexError:
        """Turn the error of a command over there into one of this machine."""
        message, hint = "", ""
        if output.lstrip().startswith(b"{") and isinstance(answer := self._parse(output, command), dict):
            message, hint = str(answer.get("message", "")), str(answer.get("hint", ""))
        elif printed := _ERROR.search(failed.stderr):
            message, hint = printed[1], printed[2].strip()
        elif failed.code in (126, 127):
            return CodexError(
                f"{self.remote.name} has no app of this version.", f"codex-tui remote setup {self.remote.name}"
            )
        if not message:
            return failed
        message, hint = clean(message), clean(hint, newlines=True)
        if folders:
            message, hint = name_run_from_here(message, *folders), name_run_from_here(hint, *folders)
        hint = advise_from_here(hint, self.remote)  # last: it names the remote, which may have the name of the run
        return _KINDS.get(failed.code, CodexError)(f"{self.remote.name}: {message}", hint)

    def _parse(self, output: bytes, command: str) -> Any:
        try:
            return json.loads(output)
        except (ValueError, RecursionError):
            raise NoJson(
                f"`codex-tui {command}` on {self.remote.name} printed no JSON.", "Run it there by hand."
            ) from None


def _read_output(stream: Stream, report: OnProgress) -> bytes:
    """Return what the command prints, and report the progress on its stderr meanwhile."""
    output, offset = bytearray(), 0
    while True:
        is_ready = select.select([stream], [], [], LOOK_SECONDS)[0]
        errors = stream.read_errors(offset)
        offset += errors.rfind(b"\n") + 1
        for line in errors[: errors.rfind(b"\n") + 1].splitlines():
            if line.startswith(b'{"step"'):
                try:
                    report(msgspec.json.decode(line, type=Progress))
                except ValueError:
                    continue
        if is_ready:
            if not (data := stream.read()):
                return bytes(output)
            output += data
