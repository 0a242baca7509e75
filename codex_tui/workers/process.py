"""A worker process of the training environment, at the other end of two pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Generic

from codex_tui.base import locations
from codex_tui.base.errors import CodexError, EnvironmentMissing
from codex_tui.base.secrets import redact
from codex_tui.environment import build
from training.contract import cache
from training.contract.config import ConfigError, RunConfig
from training.contract.messages import Answer, Request, WorkerError, WorkerProtocol, encode
from training.contract.process import format_signal
from training.contract.run_directory import RunDirectory

MAX_LINE_BYTES = 64 * 1024 * 1024  # a row of a dataset is one message; asyncio's default of 64 KiB is too small
KILLED = "The system does so where memory runs out: free some (close other programs), then try it again."
GRACE_SECONDS = 3.0
MAX_STDERR_LINES, MAX_STDERR_BYTES = 20, 8192


def trainer_environment() -> dict[str, str]:
    """The environment in which `PYTHON -m training` finds our package and none of the app's other packages."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONSTARTUP")}
    return {
        **kept,
        cache.VARIABLE: str(locations.cache_home()),
        "PYTHONPATH": str(build.make_trainer_path()),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def find_python_for(run: RunDirectory) -> Path:
    """Return the interpreter that trains now, whatever config.json names. Raises EnvironmentMissing."""
    try:
        return build.find_python()
    except EnvironmentMissing as error:
        hint = "\n".join(filter(None, (error.hint, describe_unused_python(run))))
        raise EnvironmentMissing(error.message, hint) from None


def describe_unused_python(run: RunDirectory) -> str:
    """Say how to use the interpreter that config.json names, if it is another one than would be started and exists
    here; else return ""."""
    try:
        recorded = RunConfig.read(run.config).python
    except ConfigError:
        return ""
    used = build.find_named_python() or build.managed_python()
    if not recorded or recorded == str(used) or not os.path.exists(recorded):  # noqa: PTH110  pathlib raises for a NUL
        return ""
    return (
        f"The config.json of {run.name} names another interpreter, {recorded}. It is not started, because a copied run "
        f"could name any program. If you trust it, name it with --python or in {locations.settings_file()}."
    )


class Worker(Generic[Request, Answer]):
    """A process `python -m training COMMAND PLACE` and its answers.

    It has its own session, so that Ctrl-C in the terminal reaches only the app. It ends with the app, because its stdin
    closes.
    """

    def __init__(self, process: asyncio.subprocess.Process, protocol: WorkerProtocol[Request, Answer]) -> None:
        self._process = process
        self._protocol = protocol
        self._stderr = b""
        self._drain = asyncio.create_task(self._read_stderr())

    @classmethod
    async def start(
        cls, python: Path, protocol: WorkerProtocol[Request, Answer], place: Path
    ) -> Worker[Request, Answer]:
        """Raises CodexError if `python` can't be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                str(python), "-m", "training", protocol.command, str(place),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=trainer_environment(),
                start_new_session=True,
                limit=MAX_LINE_BYTES,
            )  # fmt: skip
        except OSError as error:
            raise CodexError(f"{python} can't be started: {error.strerror}", "Run: codex-tui doctor") from error
        return cls(process, protocol)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send(self, request: Request) -> None:
        """Raises CodexError if the worker has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode(request))
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise CodexError("The worker has ended.", self.last_lines()) from error

    async def __aiter__(self) -> AsyncIterator[Answer]:
        """The worker's answers until it ends.

        Raises CodexError if the worker reports that it failed, if it ends with an error, or if it sends a message that
        can't be understood. An error of a single request is an answer.
        """
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
                answer = self._protocol.read_answer(line) if line else None
            except ValueError as error:  # NotUnderstood, or from asyncio: the line is too long
                await self.close()  # no later message can be trusted
                raise CodexError(
                    "The worker sent a message that can't be understood.", "Look at it with: codex-tui doctor"
                ) from error
            if not line:
                break
            if isinstance(answer, WorkerError) and answer.id is None:
                raise CodexError(answer.message, answer.hint)
            if answer is not None:
                yield answer
        code = await self._process.wait()
        await self._drain
        if code not in (0, -signal.SIGTERM):
            reason = f"by signal {format_signal(-code)}" if code < 0 else f"with exit code {code}"
            hints = (self.last_lines(), KILLED if code == -signal.SIGKILL else "")
            raise CodexError(f"The worker ended {reason}.", "\n".join(filter(None, hints)))

    def last_lines(self) -> str:
        """The last lines that the worker wrote to stderr."""
        lines = redact(self._stderr.decode("utf-8", "replace")).splitlines()
        return "\n".join(line for line in lines[-MAX_STDERR_LINES:] if line.strip())

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

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._stderr = (self._stderr + chunk)[-MAX_STDERR_BYTES:]
