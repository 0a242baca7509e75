"""The step that merges: finds the base model's files, and lets the worker write the merged model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.progress import OnProgress
from codex_tui.export.plan import ExportPlan
from codex_tui.export.steps import Facts, Step
from codex_tui.export.worker_talk import start_worker
from training.contract.export_messages import BaseDescribed

SMALL_FILES_BYTES = 32 * 2**20  # of tokenizer and configuration
NAME = "merge"


@dataclass(frozen=True)
class BaseModel:
    """The base model that gets the adapter: its name for a person, its folder (or the name of the demo model), and what
    the worker says of it."""

    name: str
    place: str
    described: BaseDescribed


async def find_base(plan: ExportPlan, report: OnProgress) -> BaseModel:
    """Find the base model, and ask the worker whether the adapter can be merged into it. Raises CodexError."""
    place = plan.side.base_name
    async with start_worker(plan.run, report) as talk:
        described = await talk.describe_base(place, plan.choice, plan.dtype)
    return BaseModel(plan.side.base_name, place, described)


def make_step(plan: ExportPlan, base: BaseModel, *, intermediate: bool) -> Step:
    """Make the step that writes the merged model."""

    async def merge(folder: Path, report: OnProgress) -> Facts:
        async with start_worker(plan.run, report) as talk:
            merged = await talk.merge(base.place, plan.choice, folder, plan.dtype)
        return {
            "base": base.name,
            "choice": plan.choice,
            "dtype": base.described.dtype,
            "parameters": base.described.parameters,
            "untied": merged.untied,
        }

    return Step(
        name=NAME,
        depends_on=[plan.side.model.sha256, base.described.fingerprint, plan.choice, base.described.dtype],
        work=merge,
        bytes_needed=base.described.size + SMALL_FILES_BYTES,
        intermediate=intermediate,
    )
