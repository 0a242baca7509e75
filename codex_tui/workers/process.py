"""A worker of the trainer's package at the other end of two pipes: chat and inspect, one JSON object a line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from codex_tui.base.errors import CodexError
from codex_tui.base.secrets import redact
from codex_tui.environment.build import find_python, trainer_path
from training.contract import messages
from training.contract.config import ConfigError, RunConfig
from training.contract.process import signal_name
from training.contract.run_directory import RunDirectory

# A row of a dataset is one message; asyncio's default of 64 KiB is too little for it.
LONGEST_LINE = 64 * 1024 * 1024
KILLED = "The system does so where memory runs out: free some (close other programs), then try it again."
GRACE_SECONDS = 3.0
LINES_KEPT, BYTES_KEPT = 20, 8192  # of what the worker writes to stderr


def trainer_environment() -> dict[str, str]:
    """The variables under which `PY -m training` finds our package, and nothing else of the app's packages."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONSTARTUP")}
    return {
        **kept,
        "PYTHONPATH": str(trainer_path()),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def interpreter_of(run: RunDirectory) -> Path:
    """The interpreter that trained `run` where it is still there, else the one that would train now.

    Raises EnvironmentMissing where that one can't.
    """
    try:
        python = RunConfig.read(run.config).python
    except ConfigError:
        python = ""
    return find_python(Path(python) if python and Path(python).exists() else None)


class Worker:
    """`python -m training ARGUMENTS` as an asynchronous stream of messages.

    It has a session of its own, so that Ctrl-C in the app's terminal is the app's alone, and it ends with the app:
    its stdin closes.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._complaints = b""
        self._drain = asyncio.create_task(self._read_complaints())

    @classmethod
    async def start(cls, python: Path, arguments: list[str]) -> Worker:
        """Raises CodexError where `python` can't be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                str(python), "-m", "training", *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=trainer_environment(),
                start_new_session=True,
                limit=LONGEST_LINE,
            )  # fmt: skip
        except OSError as error:
            raise CodexError(f"{python} can't be started: {error.strerror}", "Run: codex-tui doctor") from error
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send(self, message: dict[str, Any]) -> None:
        """Raises CodexError where the worker has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise CodexError("The worker has ended.", self.complaints()) from error

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """The worker's messages until it ends; then one of type "error" if it did not end well."""
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
                message = messages.read(line) if line else None
            except ValueError:  # nothing after it can be trusted; asyncio raises it of a line beyond the limit
                await self.close()
                yield _error("The worker said what can't be understood.", "Look at it with: codex-tui doctor")
                return
            if not line:
                break
            if message is not None:
                yield message
        code = await self._process.wait()
        await self._drain
        if code not in (0, -signal.SIGTERM):
            reason = f"by signal {signal_name(-code)}" if code < 0 else f"with exit code {code}"
            hints = (self.complaints(), KILLED if code == -signal.SIGKILL else "")
            yield _error(f"The worker ended {reason}.", "\n".join(filter(None, hints)))

    def complaints(self) -> str:
        """The last lines that the worker wrote to stderr."""
        lines = redact(self._complaints.decode("utf-8", "replace")).splitlines()
        return "\n".join(line for line in lines[-LINES_KEPT:] if line.strip())

    async def close(self) -> None:
        """Ends the worker and waits until its memory is free."""
        if self._process.returncode is None and self._process.stdin is not None:
            self._process.stdin.close()
            for ask in (None, signal.SIGTERM, signal.SIGKILL):
                if ask is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(self._process.pid, ask)
                try:
                    await asyncio.wait_for(self._process.wait(), GRACE_SECONDS)
                    break
                except TimeoutError:
                    continue
        self._drain.cancel()

    async def _read_complaints(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._complaints = (self._complaints + chunk)[-BYTES_KEPT:]


def _error(message: str, hint: str) -> dict[str, Any]:
    return {"type": "error", "id": None, "kind": "unknown", "message": message, "hint": hint}
