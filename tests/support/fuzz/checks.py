"""Runs the product on broken and hostile inputs, and checks what must hold: an exit code that is specified, one clear
message, no traceback, no hang, no file overwritten, and no control character in what is printed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from codex_tui.base.errors import CodexError
from codex_tui.cli import main
from support.fuzz.mutate import Mutator

MAX_SECONDS = 60  # for one input
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PYTHON_WORDS = re.compile(
    r"Traceback \(most|\b(?:Type|Value|Key|Attribute|Index|Unicode\w+|Overflow)Error\b|NoneType| at 0x"
)
MESSAGE = re.compile(r"^codex-tui[^:\n]*: ", re.MULTILINE)


class Hang(BaseException):
    """Not an Exception, so that no code takes it for an error in the input."""


@dataclass
class FuzzSession:
    """The trials of one kind of input, in a home of their own. `failures` has a line for each check that failed, with
    the seed of the input."""

    home: Path
    failures: list[str] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)
    seed: int | str = 0

    def fail(self, what: str, why: str) -> None:
        self.failures.append(f"seed {self.seed}: {what}: {why}")

    def run_command(
        self, *arguments: str | Path, allowed: tuple[int, ...] = (0, 1, 2, 3), terminal: bool = False
    ) -> str:
        """Run a command as a person would, and return its stdout."""
        out, err = (
            io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
            for errors in ("strict", "backslashreplace")
        )  # as Python opens them
        out.isatty = lambda: terminal  # type: ignore[method-assign]
        what = " ".join(map(str, arguments))[:100]
        with self.expect_no_crash(what), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as ended:  # argparse
                code = int(ended.code or 0)
            stdout, stderr = (file.buffer.getvalue().decode() for file in (out, err))  # type: ignore[attr-defined]
            self.codes[code] = self.codes.get(code, 0) + 1
            self._check_output(what, code, allowed, stdout, stderr)
            return stdout
        return ""

    def _check_output(self, what: str, code: int, allowed: tuple[int, ...], stdout: str, stderr: str) -> None:
        messages = len(MESSAGE.findall(stderr))
        if code not in allowed:
            self.fail(what, f"exit code {code}: {stderr[-300:]}")
        if code in (2, 3) and not (messages == 1 or (not messages and stdout.strip())):
            self.fail(what, f"{messages} messages with exit code {code}: {stderr[:300]!r}")
        if code == 0 and messages:
            self.fail(what, f"an error message and exit code 0: {stderr[:300]!r}")
        if bad := CONTROL.search(stdout + stderr):
            at = bad.start()
            self.fail(what, f"prints {bad[0]!r}: {(stdout + stderr)[max(0, at - 60) : at + 20]!r}")
        if bad := PYTHON_WORDS.search(stderr):
            self.fail(what, f"shows a Python error: {stderr[max(0, bad.start() - 100) : bad.end() + 100]!r}")

    @contextlib.contextmanager
    def expect_no_crash(self, what: str, *expected: type[Exception]) -> Iterator[None]:
        """Any exception but an `expected` one is a failure; so is a hang."""

        def on_alarm(*_: object) -> None:
            raise Hang

        before = signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
        try:
            yield
        except (CodexError, *expected) as error:
            if not str(error).strip() or PYTHON_WORDS.search(str(error)):
                self.fail(what, f"no clear message: {str(error)!r}")
        except Hang:
            self.fail(what, "hangs: " + "".join(traceback.format_exc()[-600:]))
        except Exception as error:  # noqa: BLE001  that is what is looked for
            frames = [
                f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
            ]
            self.fail(what, f"{type(error).__name__}: {str(error)[:200]!r} in {' '.join(frames[-4:])}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    @contextlib.contextmanager
    def expect_unchanged(self, *except_below: str) -> Iterator[None]:
        """Expect every file in the home to stay as it was, except those in the folders `except_below`."""
        before = self._checksums(except_below)
        yield
        after = self._checksums(except_below)
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        if changed:
            self.fail("files", f"overwritten, made or gone: {sorted(changed)[:3]}")

    def _checksums(self, except_below: tuple[str, ...]) -> dict[str, str]:
        return {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.home.rglob("*")
            if path.is_file()
            and path.name != "announced"  # each viewer of a run adds to this file
            and path.relative_to(self.home).parts[0] not in except_below
        }


NOWHERE = "/nowhere/python"  # no interpreter: what comes after the checks ends with exit code 3
TryInput = Callable[[Mutator], None]
FuzzKind = Callable[[FuzzSession], TryInput]
"""Prepares a session, and returns the function that tries one input."""


def fuzz(name: str, kind: FuzzKind, count: int, seed: int, folder: Path) -> FuzzSession:
    """Try `count` inputs of a kind, in an environment in which nothing outside `folder` is written or used."""
    session = FuzzSession(folder / name)
    session.home.mkdir(parents=True)
    variables = {
        "CODEX_TUI_HOME": str(session.home), "HF_HOME": str(session.home / "hub"), "HF_HUB_OFFLINE": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9", "COLUMNS": "120",
    }  # fmt: skip
    umask = os.umask(0o077)
    try:
        with patch.dict(os.environ, variables), patch("os.kill", _refuse_signals(session)):
            try_one = kind(session)
            for number in range(count):
                session.seed = f"{name}/{seed}/{number}"
                try_one(Mutator(session.seed))
    finally:
        os.umask(umask)
    return session


def _refuse_signals(session: FuzzSession) -> Callable[..., Any]:
    return lambda pid, number: session.fail("signal", f"{number} was sent to {pid}") if number else None


def print_failures(sessions: dict[str, FuzzSession]) -> None:
    """Print each kind of failure once, on stderr."""
    for name, session in sessions.items():
        seen: dict[str, int] = {}
        for failure in session.failures:
            key = re.sub(r"seed \S+: |[0-9]+|'.*?'", "", failure)[:160]
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == 1:
                print(f"{name}: {failure}", file=sys.stderr)
        print(f"{name}: {len(session.failures)} failures, {len(seen)} kinds of them", file=sys.stderr)
