"""The card (README.md) of an export: the card of its run, with the files and the proof of the export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from codex_tui.base.progress import OnProgress
from codex_tui.base.text import format_size
from codex_tui.export.plan import ExportPlan, Kind
from codex_tui.export.proof_report import format_summary
from codex_tui.export.records import ExportRecord, StepRecord, read_record
from codex_tui.export.steps import Facts, Step
from codex_tui.hub import adapter
from training.contract.card_text import CARD
from training.contract.card_usage import CardKind
from training.contract.export_messages import BaseChoice
from training.contract.model_card import ExportedModel
from training.contract.run_directory import RunDirectory

NAME = "card"
BASE_WEIGHTS = "base weights"
BASES: dict[BaseChoice, str] = {
    "trained": "the 4-bit weights that the adapter was trained on, unpacked",
    "original": "the original 16-bit weights, which the adapter was not trained on",
}
CARD_KINDS: dict[Kind, CardKind] = {"adapter": "adapter", "merged": "merged", "gguf": "gguf", "ollama": "gguf"}


def make_step(plan: ExportPlan, needs: tuple[str, ...]) -> Step:
    """Make the step that writes the card, after all steps in `needs`."""

    async def write(folder: Path, _report: OnProgress) -> Facts:
        record = read_record(plan.out)
        assert record is not None  # the steps before this one have written it
        made = _list_facts(record)
        record.steps[NAME] = StepRecord(key="", files={}, facts={"made": made})
        card = make_card(plan.run, plan.kind, record)("", plan.run.name, ".")
        (folder / CARD).write_text(card, encoding="utf-8")
        return {"made": made}

    return Step(NAME, [plan.kind], write, needs=needs)


def make_card(run: RunDirectory, kind: Kind, record: ExportRecord) -> Callable[[str, str, str], str]:
    """Return a function that makes the card from the present card, the title of a new one, and the place of the model.
    Raises BadInput if the run's config.json can't be read."""
    if kind == "adapter":
        return adapter.make_card(run)
    exported = ExportedModel(
        kind=CARD_KINDS[kind],
        facts=find_made(record),
        files={name: size for step in list_model_steps(record) for name, size in _list_sizes(step).items()},
        proofs=[format_summary(step.facts) for step in record.steps.values() if "headline" in step.facts],
    )
    return adapter.make_card(run, exported)


def find_made(record: ExportRecord) -> dict[str, str]:
    """Return how the model was made, as its card says."""
    made = record.steps[NAME].facts.get("made") if NAME in record.steps else None
    return {str(key): str(value) for key, value in made.items()} if isinstance(made, dict) else {}


def list_model_steps(record: ExportRecord) -> list[StepRecord]:
    """List the steps that wrote files of the model itself: neither its card nor a proof of it."""
    return [step for name, step in record.steps.items() if name != NAME and "headline" not in step.facts]


def _list_sizes(step: StepRecord) -> dict[str, str]:
    return {name: f"{format_size(file.size)}, sha256 {file.sha256}" for name, file in step.files.items()}


def _list_facts(record: ExportRecord) -> dict[str, str]:
    """List how the model was made. This is kept with the card, because the record forgets intermediate steps."""
    facts: dict[str, Any] = {}
    for step in record.steps.values():
        facts |= {
            key: value for key, value in step.facts.items() if key in ("choice", "dtype", "quantised", "parameters")
        }
    listed = {}
    if facts.get("quantised") and facts.get("choice") in BASES:
        listed[BASE_WEIGHTS] = BASES[facts["choice"]]
    if facts.get("dtype"):
        listed["number type of the merge"] = str(facts["dtype"])
    if isinstance(facts.get("parameters"), int):
        listed["parameters"] = f"{facts['parameters']:,}"
    return listed
