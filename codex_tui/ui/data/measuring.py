"""The measurement of a run's rows that the data screen starts: the X-ray."""

from __future__ import annotations

import asyncio

from codex_tui.base.progress import OnProgress
from codex_tui.judge.card_guard import refuse_if_busy
from codex_tui.judge.plan import Side, read_side
from codex_tui.judge.row_losses import measure_rows
from codex_tui.ui.kit.stoppable import StoppableWork
from training.contract.run_directory import RunDirectory


async def measure(work: StoppableWork, run: RunDirectory) -> None:
    """Measure the rows of `run` that are not measured yet. Raises CodexError, OSError."""

    def check() -> Side:
        refuse_if_busy()
        return read_side(run)

    async def measure_checked(report: OnProgress) -> None:
        await measure_rows(await asyncio.to_thread(check), report)

    await work.run(measure_checked, "checking the adapter")
