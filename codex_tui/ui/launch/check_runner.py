"""Runs the checks of the launch dialog beside it, each in a worker of the dialog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.text import clean
from codex_tui.ui.forecast.in_thread import forecast_profile
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.launch.checks import LENGTH, Checks, RowsChecked
from codex_tui.ui.launch.name_and_time import read_deadline

if TYPE_CHECKING:
    from codex_tui.base.progress import Progress
    from codex_tui.data.check import CountedRows
    from codex_tui.data.target import Target
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.profile import Profile

QUEUE_SECONDS = 3.0  # between two looks at the queue of the card
TYPING_SECONDS = 0.6  # the rows are checked when a person has not typed for so long


class CheckRunner:
    """Finds out what a run of the profile `entry` needs. `show` is called whenever `checks` has something new."""

    def __init__(self, screen: Screen[Any], entry: ProfileEntry, show: Callable[[], None]) -> None:
        profile = entry.profile
        self.checks = Checks(
            profile.model.max_seq_length if profile else 0, place=profile.launch.place if profile else ""
        )
        self.counted: CountedRows | None = None  # the rows of `target`, when their tokens have been counted
        self.target: Target | None = None
        self._screen, self._entry, self._show = screen, entry, show

    def start(self) -> None:
        if profile := self._entry.profile:
            self._start_worker("forecast", partial(self._forecast, profile))
            if profile.launch.shares_folder:
                self._start_worker("model", partial(self._find_model, profile))
            else:
                self._change(model_checked=True)
            self._start_worker("rows", partial(self._check_rows, profile, None))
            self._start_worker("queue", partial(self._look_at_queue, profile))
            if profile.evaluation.book:
                self._start_worker("book", partial(self._check_book, profile))

    def check_dataset(self, dataset: str | None) -> None:
        """Check another dataset as soon as a person no longer types. None is the profile's."""
        if profile := self._entry.profile:
            self.counted = None
            self._start_worker("rows", partial(self._check_rows, profile, dataset, TYPING_SECONDS))

    def check_deadline(self, text: str) -> None:
        self._start_worker("until", partial(self._check_deadline, text))

    def change_profile(self, changes: Mapping[str, Any]) -> None:
        """Use other values for this run."""
        self._change(changes=changes)
        if profile := self._run_profile():
            self._start_worker("forecast", partial(self._forecast, profile))
            self._start_worker("advice", self._advise)

    def apply_length(self) -> None:
        """Use the advised max_seq_length for this run, or, when it is used already, the profile's again."""
        if length := self.checks.advised_length:
            self.change_profile({} if self.checks.changes else {LENGTH: length})

    def _start_worker(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        start_worker(self._screen, work, group=group, exclusive=True)

    def _change(self, **values: object) -> None:
        self.checks = self.checks.change(**values)
        self._show()

    async def _forecast(self, profile: Profile) -> None:
        from codex_tui.data.speed import find_last_loading_time, find_last_speed_on

        forecast = await asyncio.to_thread(forecast_profile, profile, self._entry.path)
        self._change(forecast=forecast)
        speed = await asyncio.to_thread(find_last_speed_on, forecast.card, forecast.resolved, self._entry.path)
        loading = await asyncio.to_thread(find_last_loading_time, profile, self._entry.path)
        self._change(measured_speed=speed, loading=loading)

    async def _look_at_queue(self, profile: Profile) -> None:
        """Shows which runs have the cards, or wait for them, as long as the dialog is open."""
        from codex_tui.runs.queue import describe_busy

        while True:
            busy = await asyncio.to_thread(describe_busy, profile)
            if busy != self.checks.busy:
                self._change(busy=busy)
            await asyncio.sleep(QUEUE_SECONDS)

    async def _find_model(self, profile: Profile) -> None:
        from codex_tui.hub.model import find_missing_model

        missing = await asyncio.to_thread(find_missing_model, profile, self._entry.path)
        self._change(missing=missing, model_checked=True)

    async def _check_book(self, profile: Profile) -> None:
        from codex_tui.judge.books import load_profile_book

        try:
            book = await asyncio.to_thread(load_profile_book, profile, self._entry.path.parent)
        except CodexError as error:
            self._change(book=error)
            return
        questions = sum(question.has_marks for question in book.questions) if book else None
        self._change(book=questions)

    async def _check_deadline(self, text: str) -> None:
        """Shows what fits until the typed time. What is no time yet may become one with the next key."""
        deadline = read_deadline(text)
        if isinstance(deadline, BadInput):
            await asyncio.sleep(TYPING_SECONDS)
        self._change(until=deadline)

    async def _check_rows(self, profile: Profile, dataset: str | None, delay: float = 0.0) -> None:
        """Counts the tokens of the rows in the inspect worker, which ends when the dialog is left."""
        from codex_tui.data.check import count_rows
        from codex_tui.data.target import find_local_target

        await asyncio.sleep(delay)
        if not dataset and not clean(profile.dataset.path or ""):
            self._change(rows="choose a dataset")
            return
        self._change(rows="reading the files …")
        try:
            target = await asyncio.to_thread(find_local_target, profile, self._entry.path, dataset)
            if target is None:
                self._change(rows="checked after the download from the Hub")
                return
            self.counted, self.target = await count_rows(target, self._report_rows), target
            await self._advise()
        except CodexError as error:
            self._change(rows=error)

    def _report_rows(self, progress: Progress) -> None:
        self._change(rows=progress)

    async def _advise(self) -> None:
        """Shows the figures of the counted rows under the max_seq_length of this run."""
        if (counted := self.counted) and (target := self.target) and (profile := self._run_profile()):
            overview, advice = await asyncio.to_thread(counted.advise, profile)
            if counted is not self.counted or profile != self._run_profile():
                return  # other rows or other values have been chosen meanwhile
            self._change(rows=RowsChecked(overview, advice, profile.dataset.long_rows, len(target.source.left_out)))

    def _run_profile(self) -> Profile | None:
        """The profile with the changes of this run."""
        if profile := self._entry.profile:
            for field, value in self.checks.changes.items():
                profile = profile.with_value(field, value)
        return profile
