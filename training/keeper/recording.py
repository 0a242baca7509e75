"""Records RUN/history for the keeper, so that no step of the trainer waits for it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.history.recorder import Recorder

MIN_RECORDED_BYTES = 1 << 20  # a viewer reads fewer bytes of events in 10 ms


class HistoryKeeper:
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
                from training.history.recorder import Recorder  # seldom needed, and large

                self._recorder = Recorder(self._folder)
            self._recorder.poll(at_end=at_end)
        except BlockingIOError:  # another keeper is still recording its end
            pass
        except Exception:  # noqa: BLE001  viewers do without the history, but not without exit.json
            self._has_failed = True

    def close(self) -> None:
        """Record what is left, and free the memory that the curve takes. A later `poll` begins again."""
        self.poll(at_end=True)
        if self._recorder:
            self._recorder.close()
            self._recorder = None
            _return_free_memory()

    def _is_long(self) -> bool:
        try:
            return (self._folder / "events.jsonl").stat().st_size >= MIN_RECORDED_BYTES
        except OSError:
            return False


def _return_free_memory() -> None:
    """Give the memory that is free now back to the system. Else glibc keeps 8 MB of a long curve all night."""
    import ctypes

    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
