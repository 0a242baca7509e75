"""An export that runs while its screen is open, and what a person asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from codex_tui.base.progress import OnProgress
from codex_tui.environment.llama_cpp import ensure_llama_cpp
from codex_tui.export.exporting import export
from codex_tui.export.plan import TRAINED, ExportPlan, Kind, make_plan
from codex_tui.judge.card_guard import refuse_if_busy
from codex_tui.ui.kit.stoppable import StoppableWork
from training.contract.run_directory import RunDirectory


@dataclass(frozen=True)
class Request:
    """What a person asked for: the kind of the export, the types of its GGUF files, and the base weights."""

    kind: Kind
    quants: tuple[str, ...] = ()
    base: str = TRAINED

    def make_plan(self, run: RunDirectory) -> ExportPlan:
        """Check the request. Raises CodexError, also while a run trains. Call it in a thread."""
        refuse_if_busy("an export")
        return make_plan(run, self.kind, quants=self.quants, base=self.base)


class ExportWork(StoppableWork):
    """Runs one export at a time. `request` is the last one."""

    def __init__(self, run: RunDirectory, changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self._run = run
        self.request: Request | None = None

    async def export(self, request: Request) -> None:
        """Export, until it is done or until `stop`. Raises CodexError, OSError."""
        self.request = request

        async def work(report: OnProgress) -> None:
            plan = await asyncio.to_thread(request.make_plan, self._run)
            if plan.kind in ("gguf", "ollama"):
                await asyncio.to_thread(ensure_llama_cpp, report)
            await export(plan, report)

        await self.run(work, "checking the adapter")
