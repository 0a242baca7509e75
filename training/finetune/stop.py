"""Stop requests, by the file RUN/control or by SIGTERM.

The first one ("save") ends training after the current step, with a checkpoint and the adapter. "park" does the same,
and the run's keeper starts the next attempt later. Before the first step there is nothing to save, so the process ends
at once. The second one ("terminate") ends the process at once, whatever it is doing. A checkpoint that was being
written then stays unfinished, and `checkpoints.find_last_whole` ignores it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from training.contract.control import StopLevel
from training.contract.run_directory import RunDirectory

POLL_SECONDS = 0.25


class StopRequests:
    """Watches for stop requests. `level` is the strongest one so far. Calls `terminate()` for one that can't wait.

    Of several ranks, only the main one reads the file; see `training.finetune.ranks`.
    """

    def __init__(self, run: RunDirectory, terminate: Callable[[], None], *, reads_file: bool = True) -> None:
        self.level: StopLevel | None = None
        self.reason = self.ends = ""  # why the run is parked, and what ends that
        self.can_save = False  # True while a training loop looks at `level` after each step
        self.run = run
        self._terminate, self._reads_file = terminate, reads_file
        self._sigterm_count = 0
        self._ended = threading.Event()

    def watch(self) -> None:
        """Start watching. Call it in the main thread, because Python delivers signals there."""
        # The thread below counts the signals by this pipe: the main thread may wait in a library, and handle none.
        self._signals, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        # A closed terminal or Ctrl-C in it is no stop request: the run doesn't depend on its viewers.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A thread, because one step or the loading of a model may keep the main thread busy for minutes.
        threading.Thread(target=self._poll, name="stop-requests", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            with suppress(BlockingIOError):
                self._sigterm_count += os.read(self._signals, 64).count(signal.SIGTERM)
            request = self.run.read_request() if self._reads_file else None
            word = request.word if request else None
            if word == "terminate" or self._sigterm_count > 1:
                self.level = "terminate"
            elif word == "save" or self._sigterm_count == 1:
                self.level = "save"
            elif request and word == "park":
                self.level, self.reason, self.ends = "park", request.reason, request.ends
            if self.level == "terminate" or (self.level and not self.can_save):
                self._terminate()
