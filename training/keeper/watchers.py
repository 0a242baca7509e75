"""What the keeper looks at every few seconds: each watcher may hold the run, or end a trainer that hangs.

To add a rule, write a class with `seconds` and `look`, and add it to `make_watchers` in `watcher_list.py`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import NamedTuple, Protocol

from training.contract.events import HeldState
from training.contract.run_directory import RunDirectory

MAX_REPORTS = 20  # errors that one keeper writes into the log


class Hold(NamedTuple):
    """Keep the run without a trainer. The fields are those of `events.Held`.

    While a trainer runs, it is asked to save and end first. A watcher gives this answer at each look as long as its
    reason lasts.
    """

    state: HeldState
    reason: str
    ends: str = ""
    until: float | None = None  # Unix seconds


class Restart(NamedTuple):
    """Kill the trainer, which hangs, and start the next attempt. `reason` says in a sentence why."""

    reason: str


class Release(NamedTuple):
    """End a hold that a person asked for, because a rule brings the run back now."""


Answer = Hold | Restart | Release | None


class Moment(NamedTuple):
    """What the keeper knows when it asks a watcher. `now` is monotonic seconds, `since` when the trainer started or the
    run was held, in the same clock."""

    run: RunDirectory  # by its present name
    now: float
    since: float
    trainer: int | None  # pid of the trainer; None: the run is held, or its next attempt is about to start
    attempt: int  # number of the attempt that runs, or of the next one
    held: Hold | None = None  # the hold that is shown
    card_is_taken: bool = False  # another run of the queue trains on the card, while this one is held
    resumed_at: float | None = None  # monotonic time at which a person last asked to resume; None: since then, to park


class Watcher(Protocol):
    """Looks at the world for one reason. It must be quick. One that raises has no say until its next look."""

    seconds: float
    """Seconds between two looks. Each watcher is also asked right before an attempt, so it can hold the run then."""

    def look(self, moment: Moment) -> Answer: ...


class Watchers:
    """Asks each watcher when its time has come, and remembers its answer until the next look."""

    def __init__(self, watchers: list[Watcher]) -> None:
        self._watchers = watchers
        self._next: list[float] = [0.0] * len(watchers)
        self._answers: list[Answer] = [None] * len(watchers)
        self._reported: set[str] = set()

    def ask_all_again(self) -> None:
        """Forget all answers: the run is in another state, so each watcher must look again."""
        self._next = [0.0] * len(self._watchers)
        self._answers = [None] * len(self._watchers)

    def look(self, moment: Moment) -> list[Hold | Restart | Release]:
        """Return the answers that hold now, in the order of the watchers."""
        for index, watcher in enumerate(self._watchers):
            if moment.now >= self._next[index]:
                self._next[index] = moment.now + watcher.seconds
                try:
                    self._answers[index] = watcher.look(moment)
                except Exception:  # noqa: BLE001  training is worth more than any rule
                    self._answers[index] = None
                    self._report(type(watcher).__name__)
        return [answer for answer in self._answers if answer is not None]

    def _report(self, watcher: str) -> None:
        """Write the present error into trainer.log, the first time of each."""
        import traceback  # here, because few keepers need it

        text = f"{watcher} failed. The run goes on without it, and it is asked again.\n{traceback.format_exc()}"
        if text not in self._reported and len(self._reported) < MAX_REPORTS:
            self._reported.add(text)
            with suppress(OSError):  # a full disk
                print(text, file=sys.stderr, flush=True)  # noqa: T201
