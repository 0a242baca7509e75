"""Records RUN/history for the keeper, so that no step of the trainer waits for it."""

from __future__ import annotations

from contextlib import closing, suppress

from training.contract.run_directory import RunDirectory

MIN_RECORDED_BYTES = 1 << 20  # a viewer reads fewer bytes of events in 10 ms
RETRY_BYTES = 1 << 18  # if the file can't be written, the next try comes after so many bytes of events


class HistoryKeeper:
    """Records the history of `run`, whose path leads there even after someone renames it, once its events are long
    enough to need it.

    Between two chunks nothing of the curve stays in memory: a keeper lives as long as its run.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._next_bytes = MIN_RECORDED_BYTES  # of events, from which on the next chunk is made
        self._has_failed = False

    def poll(self) -> None:
        """Record a chunk, if there are enough new events."""
        if (size := self._run.count_event_bytes()) >= self._next_bytes:
            self._record(size, at_end=False)

    def finish(self) -> None:
        """Record all events so far."""
        if (size := self._run.count_event_bytes()) >= MIN_RECORDED_BYTES:
            self._record(size, at_end=True)

    def _record(self, size: int, *, at_end: bool) -> None:
        if self._has_failed:
            return
        from training.history.recorder import Recorder  # seldom needed, and large

        try:
            with closing(Recorder(self._run.path)) as recorder:
                recorder.poll(at_end=at_end)
                self._next_bytes = max(recorder.next_bytes, size + RETRY_BYTES)
            del recorder
        except BlockingIOError:  # another keeper is still recording its end
            pass
        except Exception:  # noqa: BLE001  viewers do without the history, but not without exit.json
            self._has_failed = True
        _return_free_memory()


def _return_free_memory() -> None:
    """Give the memory that is free now back to the system. Else glibc keeps 8 MB of a long curve all night."""
    import ctypes

    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
