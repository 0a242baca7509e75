"""What a push sends of an export: the files that its record names, if they have not changed since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.errors import BadInput
from codex_tui.base.locations import expand_home
from codex_tui.export.card import list_model_steps
from codex_tui.export.plan import Kind
from codex_tui.export.records import ExportRecord, has_files, read_record
from codex_tui.export.results import hash_adapter
from training.contract.card_text import CARD
from training.contract.run_directory import RunDirectory


@dataclass(frozen=True)
class FinishedExport:
    """An export in `folder` whose files are all there. `names` are those to send."""

    kind: Kind
    folder: Path
    record: ExportRecord
    names: tuple[str, ...]


def find_export(run: RunDirectory, kind: Kind, folder: str | None) -> FinishedExport:
    """Find the export of `run` of this kind, in `folder` or in the run's directory. Raises BadInput if there is none,
    if a file or the adapter has changed, or if its proof failed."""
    place = expand_home(folder).absolute() if folder else run.exports / kind
    again = f"Export it: codex-tui export {run.name} --to {kind}"
    record = read_record(place)
    if record is None or not record.steps:
        raise BadInput(f"There is no export in {place}.", again)
    if (record.run, record.to) != (run.name, kind):
        raise BadInput(f"{place} has an export of {record.run} to {record.to}.", again)
    if record.adapter not in ("", hash_adapter(run)):
        raise BadInput(f"The adapter of {run.name} has changed since this export.", again)
    for step in record.steps.values():
        if problems := step.facts.get("problems"):
            raise BadInput(f"The proof of this export failed. {problems[0]}", f"Nothing was sent. {again}")
    steps = list_model_steps(record)
    for step in steps:
        if not has_files(place, step):
            raise BadInput(f"A file in {place} has changed or is gone: {', '.join(step.files)}.", again)
    names = sorted(name for step in steps for name in step.files if name != CARD)
    if not names:
        raise BadInput(f"The export in {place} is not finished.", again)
    return FinishedExport(kind, place, record, tuple(names))
