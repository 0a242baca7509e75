"""A judgement that runs while its screen is open: its progress, how it is stopped, and how it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import Progress, ProgressTracker
from codex_tui.judge.card_guard import explain_busy
from codex_tui.judge.judging import find_file, judge
from codex_tui.judge.plan import JudgePlan, choose_default_book, make_plan
from codex_tui.runs.facts import read_facts
from codex_tui.runs.library import find_run
from training.contract.judgement import BASE
from training.contract.run_directory import RunDirectory


@dataclass(frozen=True)
class Request:
    """What a person asked for: a book, or "held-out", and the name of another run, or "base"."""

    book: str
    against: str

    @classmethod
    def make_default(cls, run: RunDirectory) -> Request:
        """Make the request that the command makes without options."""
        return cls(choose_default_book(read_facts(run).dataset), BASE)

    def make_plan(self, run: RunDirectory) -> JudgePlan:
        """Check the request. Raises CodexError, also while a run trains. Call it in a thread."""
        if reason := explain_busy():
            raise BadInput(reason, "Wait until it has ended, or stop it: s in its cockpit.")
        other = None if self.against == BASE else find_run(self.against)
        return make_plan(run, other, self.book)


class JudgeWork:
    """Runs one judgement at a time. `request` is the last one; `tracker` is None while none runs.

    `changed` is called after each change but the progress.
    """

    def __init__(self, run: RunDirectory, changed: Callable[[], None]) -> None:
        self._run, self._changed = run, changed
        self._task: asyncio.Task[None] | None = None
        self.request: Request | None = None
        self.tracker: ProgressTracker | None = None
        self.stopped = False
        """Whether the last judgement was stopped or failed, so that it can go on."""
        self.result = ""
        """The name of the file with the last result."""

    async def run(self, request: Request) -> None:
        """Judge, until it is done or until `stop`. Raises CodexError, OSError."""
        self.request, self.stopped = request, True
        self._report(Progress("checking the adapter"))
        self._task = asyncio.ensure_future(self._judge(request))
        self._changed()
        try:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()
                self.stopped = False
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])  # its worker has ended then
            self._task = self.tracker = None
            self._changed()

    async def _judge(self, request: Request) -> None:
        plan = await asyncio.to_thread(request.make_plan, self._run)
        await judge(plan, self._report)
        self.result = find_file(plan).name

    def stop(self) -> None:
        """Stop the judgement. The answers so far are kept."""
        if self._task:
            self._task.cancel()

    def _report(self, progress: Progress) -> None:
        if self.tracker:
            self.tracker.update(progress)
        else:
            self.tracker = ProgressTracker(progress)
