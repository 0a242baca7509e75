"""A judgement that runs while its screen is open, and what a person asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.progress import OnProgress
from codex_tui.judge.card_guard import refuse_if_busy
from codex_tui.judge.endpoint import Endpoint
from codex_tui.judge.judging import add_verdicts, find_file, judge
from codex_tui.judge.plan import JudgePlan, choose_default_book, make_plan
from codex_tui.runs.facts import read_facts
from codex_tui.runs.library import find_run
from codex_tui.ui.kit.stoppable import StoppableWork
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
        return cls(choose_default_book(run, read_facts(run).config), BASE)

    def make_plan(self, run: RunDirectory) -> JudgePlan:
        """Check the request. Raises CodexError, also while a run trains. Call it in a thread."""
        refuse_if_busy()
        other = None if self.against == BASE else find_run(self.against)
        return make_plan(run, other, self.book)


class JudgeWork(StoppableWork):
    """Runs one judgement at a time. `request` is the last one."""

    def __init__(self, run: RunDirectory, changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self._run = run
        self.request: Request | None = None
        self.result = ""
        """The name of the file with the last result."""

    async def judge(self, request: Request) -> None:
        """Judge, until it is done or until `stop`. Raises CodexError, OSError."""
        self.request = request

        async def work(report: OnProgress) -> None:
            plan = await asyncio.to_thread(request.make_plan, self._run)
            await judge(plan, report)
            self.result = find_file(plan).name

        await self.run(work, "checking the adapter")

    async def ask_judge_model(self, path: Path, endpoint: Endpoint) -> None:
        """Let the judge model compare the answers of the judgement at `path`. Raises CodexError, OSError."""
        self.result = path.name
        await self.run(lambda report: add_verdicts(self._run, path, endpoint, report), "reading the answers")
