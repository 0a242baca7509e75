"""Stop requests: by the file RUN/control or by SIGTERM.

The first ("save") ends the step, saves a checkpoint and the adapter, and ends; where no step has been taken yet there
is nothing to save and the process ends at once. The second ("terminate") ends at once, whatever is going on: what was
being written stays unfinished, and `checkpoints.last_whole` will not take it for whole.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from training.contract.run_directory import RunDirectory, StopLevel

POLL_SECONDS = 0.25


class StopRequests:
    """Watches for requests. `level` is the strongest one seen; `terminate()` is called for one that can't wait."""

    def __init__(self, run: RunDirectory, terminate: Callable[[], None]) -> None:
        self.level: StopLevel | None = None
        self.can_save = False  # True while a training loop looks at `level` after each step
        self._run = run
        self._terminate = terminate
        self._signals = 0
        self._ended = threading.Event()

    def watch(self) -> None:
        """Starts watching. Call it in the main thread: Python hands out signals there."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        # A terminal that closes, or Ctrl-C in one, is no request: viewers come and go.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A thread, because a step or a load may keep the main one busy for minutes.
        threading.Thread(target=self._poll, name="stop-requests", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            asked = self._run.stop_requested()
            if asked == "terminate" or self._signals > 1:
                self.level = "terminate"
            elif asked == "save" or self._signals == 1:
                self.level = "save"
            if self.level == "terminate" or (self.level == "save" and not self.can_save):
                self._terminate()

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1  # and no more: the main thread may hold a lock that acting on it would need
