"""The trainer's parent process. It waits for the trainer, and writes RUN/exit.json to record how the trainer ended.

A process that is killed can't record it itself, and only its parent learns which signal it was. So the trainer is a
child, forked before anything heavy is imported. The parent only waits, and keeps the log from filling the disk.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from training.contract.log import trim_log
from training.contract.process import Exit, die_with_parent, format_signal
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from training.history.recorder import Recorder

VMSTAT = Path("/proc/vmstat")
POLL_SECONDS = 0.5  # between two checks of the log's size, and of the events' size
MIN_RECORDED_BYTES = 1 << 20  # of events; shorter ones are read in 10 ms


def fork(run: RunDirectory) -> int | None:
    """Fork the trainer. Returns None in the trainer's process, and its exit code in the parent when it ends."""
    oom_kills_before, parent = count_oom_kills(), os.getpid()
    folder = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)  # by which it is found again if someone renames it
    child = os.fork()
    if child == 0:
        die_with_parent(True)
        if os.getppid() != parent:  # the parent died before this, so its death would bring no signal
            os._exit(1)
        return None
    # A closed terminal or Ctrl-C in it is no stop request.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    history = _HistoryKeeper(folder)
    status = _wait(child, run.log, history)
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = None if killed_by else os.waitstatus_to_exitcode(status)
    out_of_memory = killed_by == signal.SIGKILL and count_oom_kills() > oom_kills_before
    with suppress(OSError):  # if the disk is full, nothing records the end, and the run shows as lost
        signal_text = format_signal(killed_by) if killed_by else ""
        (RunDirectory.locate(folder) or run).write_exit(Exit(child, code, signal_text, out_of_memory, os.getpid()))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is no trainer to pass it on to
    history.poll(at_end=True)  # after exit.json, which viewers wait for
    return code if code is not None else 128 + (killed_by or 0)


class _HistoryKeeper:
    """Records the history of the run whose open folder is `folder`, once its events are long enough to need it."""

    def __init__(self, folder: int) -> None:
        self._folder = Path(f"/proc/self/fd/{folder}")  # which leads there even after someone renames it
        self._recorder: Recorder | None = None
        self._has_failed = False

    def poll(self, *, at_end: bool = False) -> None:
        try:
            if self._has_failed or (self._recorder is None and not self._is_long()):
                return
            if self._recorder is None:
                from training.history.recorder import Recorder  # here, because the trainer shares what is imported

                self._recorder = Recorder(self._folder)
            self._recorder.poll(at_end=at_end)
        except BlockingIOError:  # the parent of the attempt before is still recording its end
            pass
        except Exception:  # noqa: BLE001  viewers do without the history, but not without exit.json
            self._has_failed = True

    def _is_long(self) -> bool:
        try:
            return (self._folder / "events.jsonl").stat().st_size >= MIN_RECORDED_BYTES
        except OSError:
            return False


def _wait(child: int, log: Path, history: _HistoryKeeper) -> int:
    """Wait until `child` ends, trimming the log and recording the history meanwhile, and return its wait status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # sigtimedwait needs it blocked, to miss none
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        with suppress(OSError):
            trim_log(log)
        if ended:
            return status
        history.poll()
        signal.sigtimedwait([signal.SIGCHLD], POLL_SECONDS)


def count_oom_kills() -> int:
    """Read how many processes the kernel has killed for lack of memory since boot; 0 if the kernel doesn't tell."""
    with suppress(OSError, ValueError):
        for line in VMSTAT.read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
