"""A worker process of the training environment, at the other end of two pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Generic

from codex_tui.base import locations
from codex_tui.base.errors import CodexError, EnvironmentMissing
from codex_tui.base.secrets import redact
from codex_tui.base.text import format_duration
from codex_tui.environment import build
from training.contract import cache
from training.contract.config import ConfigError, RunConfig
from training.contract.messages import Answer, Request, WorkerError, WorkerProtocol, encode
from training.contract.process import format_signal
from training.contract.run_directory import RunDirectory

MAX_LINE_BYTES = 64 * 1024 * 1024  # a row of a dataset is one message; asyncio's default of 64 KiB is too small
KILLED = "The system does so where memory runs out: free some (close other programs), then try it again."
GRACE_SECONDS = 3.0
SILENCE_LIMIT_SECONDS = 300.0
# Without bytecode, Python compiles the thousands of modules of the training stack at each start: 9 seconds of CPU time.
NOT_FOR_THE_TRAINER = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONDONTWRITEBYTECODE")
SILENT = "Try it again. If it is silent again, look at it with: codex-tui doctor"
MAX_STDERR_LINES, MAX_STDERR_BYTES = 20, 8192


_live_groups: set[int] = set()  # the process groups of the workers


def _kill_group(group: int, number: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _end_workers_on_signals() -> None:
    """Let the signals that end the app end its workers first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end_by_signal)


def _end_by_signal(number: int, _frame: object) -> None:
    for group in _live_groups:
        _kill_group(group)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def trainer_environment() -> dict[str, str]:
    """The environment in which `PYTHON -m training` finds our package and none of the app's other packages."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_FOR_THE_TRAINER}
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

    It has its own session, so that Ctrl-C in the terminal reaches only the app. It never outlives the app: its stdin
    closes, the kernel ends it (`die_with_parent`), and a signal that ends the app ends it first.

    A worker that sends nothing for `silence_limit` seconds, although it owes an answer, is ended.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, protocol: WorkerProtocol[Request, Answer], silence_limit: float
    ) -> None:
        self._process = process
        self._protocol = protocol
        self._stderr = b""
        self._drain = asyncio.create_task(self._read_stderr())
        self._silence_limit = silence_limit
        self._owes_answer = True  # that it is ready
        self._silent_seconds = 0.0
        self._watch = asyncio.create_task(self._watch_silence())
        _live_groups.add(process.pid)

    @classmethod
    async def start(
        cls,
        python: Path,
        protocol: WorkerProtocol[Request, Answer],
        place: Path,
        *,
        silence_limit: float | None = None,
    ) -> Worker[Request, Answer]:
        """Raises CodexError if `python` can't be started."""
        _end_workers_on_signals()
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
        return cls(process, protocol, silence_limit or SILENCE_LIMIT_SECONDS)

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
        if request.awaits_answer:
            self._owes_answer, self._silent_seconds = True, 0.0

    async def __aiter__(self) -> AsyncIterator[Answer]:
        """The worker's answers until it ends.

        Raises CodexError if the worker reports that it failed, if it ends with an error, if it is silent for too long,
        or if it sends a message that can't be understood. An error of a single request is an answer.
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
                self._owes_answer, self._silent_seconds = answer.more_follows, 0.0
                yield answer
        if self._is_too_silent:
            waited = format_duration(self._silence_limit)
            raise CodexError(f"The worker was ended: it sent nothing for {waited}.", self.last_lines() or SILENT)
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
                    _kill_group(self._process.pid, ask)
                try:
                    await asyncio.wait_for(self._process.wait(), GRACE_SECONDS)
                    break
                except TimeoutError:
                    continue
        _live_groups.discard(self._process.pid)
        self._watch.cancel()
        self._drain.cancel()

    @property
    def _is_too_silent(self) -> bool:
        return self._silent_seconds >= self._silence_limit

    async def _watch_silence(self) -> None:
        """End the worker when it was silent for too long. Ticks are counted instead of time, because the app may be
        suspended meanwhile."""
        tick = min(1.0, self._silence_limit / 10)
        while not self._is_too_silent:
            await asyncio.sleep(tick)
            self._silent_seconds = self._silent_seconds + tick if self._owes_answer else 0.0
        _kill_group(self._process.pid)

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._stderr = (self._stderr + chunk)[-MAX_STDERR_BYTES:]
