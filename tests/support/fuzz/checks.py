"""What is tried with inputs that lie, and what must hold: an exit code that is specified, one clear message, no
traceback, no hang, nothing overwritten, and no control byte in what is printed."""

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

SECONDS = 60  # that one input may take
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PYTHON = re.compile(r"Traceback \(most|\b(?:Type|Value|Key|Attribute|Index|Unicode\w+|Overflow)Error\b|NoneType| at 0x")
MESSAGE = re.compile(r"^codex-tui[^:\n]*: ", re.MULTILINE)


class Hang(BaseException):
    """Not an Exception, so that nobody takes it for an error of the input."""


@dataclass
class Bench:
    """A home of its own for one kind of input. `failures` says what did not hold, with the input's seed."""

    home: Path
    failures: list[str] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)
    seed: int | str = 0

    def fail(self, what: str, why: str) -> None:
        self.failures.append(f"seed {self.seed}: {what}: {why}")

    def command(self, *arguments: str | Path, allowed: tuple[int, ...] = (0, 1, 2, 3), terminal: bool = False) -> str:
        """Runs a command as a person would; what it said on stdout."""
        out, err = (
            io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
            for errors in ("strict", "backslashreplace")
        )  # as Python opens them
        out.isatty = lambda: terminal  # type: ignore[method-assign]
        what = " ".join(map(str, arguments))[:100]
        with self.guard(what), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as ended:  # argparse
                code = int(ended.code or 0)
            said, complained = (file.buffer.getvalue().decode() for file in (out, err))  # type: ignore[attr-defined]
            self.codes[code] = self.codes.get(code, 0) + 1
            self._judge(what, code, allowed, said, complained)
            return said
        return ""

    def _judge(self, what: str, code: int, allowed: tuple[int, ...], said: str, complained: str) -> None:
        messages = len(MESSAGE.findall(complained))
        if code not in allowed:
            self.fail(what, f"exit code {code}: {complained[-300:]}")
        if code in (2, 3) and not (messages == 1 or (not messages and said.strip())):
            self.fail(what, f"{messages} messages with exit code {code}: {complained[:300]!r}")
        if code == 0 and messages:
            self.fail(what, f"complains and is content: {complained[:300]!r}")
        if bad := CONTROL.search(said + complained):
            at = bad.start()
            self.fail(what, f"lets {bad[0]!r} through: {(said + complained)[max(0, at - 60) : at + 20]!r}")
        if bad := PYTHON.search(complained):
            self.fail(what, f"speaks Python: {complained[max(0, bad.start() - 100) : bad.end() + 100]!r}")

    @contextlib.contextmanager
    def guard(self, what: str, *expected: type[Exception]) -> Iterator[None]:
        """Whatever else comes out of it than `expected` is a failure; so is a hang."""

        def on_alarm(*_: object) -> None:
            raise Hang

        before = signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            yield
        except (CodexError, *expected) as error:
            if not str(error).strip() or PYTHON.search(str(error)):
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
    def untouched(self, *but: str) -> Iterator[None]:
        """Every file under the home is as it was afterwards, but for those below the folders `but`."""
        before = self._sums(but)
        yield
        after = self._sums(but)
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        if changed:
            self.fail("files", f"overwritten, made or gone: {sorted(changed)[:3]}")

    def _sums(self, but: tuple[str, ...]) -> dict[str, str]:
        return {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.home.rglob("*")
            if path.is_file() and path.relative_to(self.home).parts[0] not in but
        }


NOWHERE = "/nowhere/python"  # no interpreter: what comes after the checks ends with exit code 3
Try = Callable[[Mutator], None]
Kind = Callable[[Bench], Try]
"""Prepares a bench; what it returns tries one input."""


def attempt(name: str, kind: Kind, count: int, seed: int, folder: Path) -> Bench:
    """Tries `count` inputs of a kind, in an environment in which nothing outside `folder` is written or asked."""
    bench = Bench(folder / name)
    bench.home.mkdir(parents=True)
    variables = {
        "CODEX_TUI_HOME": str(bench.home), "HF_HOME": str(bench.home / "hub"), "HF_HUB_OFFLINE": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9", "COLUMNS": "120",
    }  # fmt: skip
    umask = os.umask(0o077)
    try:
        with patch.dict(os.environ, variables), patch("os.kill", _no_signal(bench)):
            try_one = kind(bench)
            for number in range(count):
                bench.seed = f"{name}/{seed}/{number}"
                try_one(Mutator(bench.seed))
    finally:
        os.umask(umask)
    return bench


def _no_signal(bench: Bench) -> Callable[..., Any]:
    return lambda pid, number: bench.fail("signal", f"{number} was sent to {pid}") if number else None


def show(benches: dict[str, Bench]) -> None:
    """What failed, once a kind of failure, on stderr."""
    for name, bench in benches.items():
        seen: dict[str, int] = {}
        for failure in bench.failures:
            key = re.sub(r"seed \S+: |[0-9]+|'.*?'", "", failure)[:160]
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == 1:
                print(f"{name}: {failure}", file=sys.stderr)
        print(f"{name}: {len(bench.failures)} failures, {len(seen)} kinds of them", file=sys.stderr)
