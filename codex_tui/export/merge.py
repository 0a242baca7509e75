"""The step that merges: finds the base model's files, and lets the worker write the merged model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.progress import OnProgress
from codex_tui.export.plan import BaseWeights, ExportPlan
from codex_tui.export.steps import Facts, Step
from codex_tui.export.worker_talk import ExportTalk
from codex_tui.hub.base_model import fetch_model
from codex_tui.hub.model import DEMO
from training.contract.export_messages import BaseDescribed
from training.contract.model_path import find_model_folder

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
    """Find the base model, download it if it is missing, and ask the worker whether the adapter can be merged into it.
    Raises CodexError."""
    name = plan.base.name
    place = await asyncio.to_thread(_find_place, plan.base, report)
    async with ExportTalk.start(plan.run, report) as talk:
        described = await talk.describe_base(place, plan.base.choice, plan.dtype)
    return BaseModel(name, place, described)


def _find_place(base: BaseWeights, report: OnProgress) -> str:
    if base.name.startswith(DEMO):
        return base.name
    folder = find_model_folder(base.name)
    return str(folder or fetch_model(base.name, base.revision, report))


def make_step(plan: ExportPlan, base: BaseModel, *, intermediate: bool) -> Step:
    """Make the step that writes the merged model."""

    async def merge(folder: Path, report: OnProgress) -> Facts:
        async with ExportTalk.start(plan.run, report) as talk:
            merged = await talk.merge(base.place, plan.base.choice, folder, plan.dtype)
        return {
            "base": base.name,
            "choice": plan.base.choice,
            "quantised": bool(plan.side.identity["load_in_4bit"]),
            "dtype": base.described.dtype,
            "parameters": base.described.parameters,
            "untied": merged.untied,
        }

    return Step(
        name=NAME,
        depends_on=[plan.side.model.sha256, base.described.fingerprint, plan.base.choice, base.described.dtype],
        work=merge,
        bytes_needed=base.described.size + SMALL_FILES_BYTES,
        intermediate=intermediate,
    )
