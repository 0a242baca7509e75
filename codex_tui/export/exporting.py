"""Exports a run: lists the steps of each kind of export, and runs those that are not finished."""

from __future__ import annotations

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress
from codex_tui.export import merge
from codex_tui.export.merge import BaseModel
from codex_tui.export.plan import ExportPlan
from codex_tui.export.records import ExportRecord
from codex_tui.export.steps import Step, run_steps


async def export(plan: ExportPlan, report: OnProgress) -> ExportRecord:
    """Make the export in the folder of `plan`. Raises CodexError, OSError."""
    base = await merge.find_base(plan, report)
    return await run_steps(plan.out, plan.run.name, plan.kind, list_steps(plan, base), report)


def list_steps(plan: ExportPlan, base: BaseModel) -> list[Step]:
    """List all steps of the export in their order. Raises BadInput."""
    match plan.kind:
        case "merged":
            return [merge.make_step(plan, base, intermediate=False)]
        case _:
            raise BadInput(f"--to {plan.kind} is not possible yet.", "Use: --to merged")
