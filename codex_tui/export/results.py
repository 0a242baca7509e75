"""The exports in a run's directory, as the screen shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codex_tui.export.card import list_model_steps
from codex_tui.export.plan import KINDS, Kind
from codex_tui.export.records import ExportRecord, has_files, hash_file, read_record
from training.contract import checkpoints
from training.contract.card_text import CARD
from training.contract.config import ConfigError, RowForm, RunConfig
from training.contract.run_directory import RunDirectory

State = Literal["missing", "unfinished", "changed", "outdated", "failed", "unproven", "proven"]
"""No export; a stopped one; a file of it has changed; the adapter has; its proof found a problem; it has no proof."""


@dataclass(frozen=True)
class ExportResult:
    """The export of one kind. `size` counts the bytes of its files, `names` lists those of the model, the
    largest first."""

    kind: Kind
    folder: Path
    state: State = "missing"
    record: ExportRecord | None = None
    size: int = 0
    names: tuple[str, ...] = ()

    @property
    def headlines(self) -> list[str]:
        """What the proofs say, a sentence each."""
        steps = self.record.steps.values() if self.record else ()
        return [str(step.facts["headline"]) for step in steps if step.facts.get("headline")]

    @property
    def problems(self) -> list[str]:
        steps = self.record.steps.values() if self.record else ()
        return [str(problem) for step in steps for problem in step.facts.get("problems", ())]


@dataclass(frozen=True)
class Exports:
    """The exports of a run, one for each kind. `form` is how its model is asked."""

    results: tuple[ExportResult, ...]
    form: RowForm
    loads_4bit: bool


def read_exports(run: RunDirectory) -> Exports:
    """Read the records of the exports of `run`. Reads the adapter, so call it in a thread."""
    sha256 = hash_adapter(run)
    results = tuple(_read_export(run, kind, sha256) for kind in KINDS)
    try:
        config = RunConfig.read(run.config)
    except ConfigError:
        return Exports(results, RowForm(), False)
    tables = [table.get("model") for table in (config.actual, config.profile)]
    values = [table["load_in_4bit"] for table in tables if isinstance(table, dict) and "load_in_4bit" in table]
    return Exports(results, config.find_row_form(), bool(values and values[0]))


def hash_adapter(run: RunDirectory) -> str:
    """Compute the SHA-256 of the weights that an export of `run` would have now; "" if they can't be read."""
    folder = checkpoints.find_chat_adapter(run, thorough=False)
    try:
        return hash_file(folder / checkpoints.ADAPTER) if folder else ""
    except OSError:
        return ""


def _read_export(run: RunDirectory, kind: Kind, sha256: str) -> ExportResult:
    folder = run.exports / kind
    record = read_record(folder)
    if record is None:
        return ExportResult(kind, folder)
    steps = list_model_steps(record)
    size = sum(file.size for step in record.steps.values() for file in step.files.values())
    sizes = {name: file.size for step in steps for name, file in step.files.items() if name != CARD}
    names = tuple(sorted(sizes, key=lambda name: (-sizes[name], name)))
    return ExportResult(kind, folder, _find_state(kind, folder, record, sha256), record, size, names)


def _find_state(kind: Kind, folder: Path, record: ExportRecord, sha256: str) -> State:
    steps = record.steps.values()
    if "card" not in record.steps:
        return "unfinished"
    if not all(has_files(folder, step) for step in list_model_steps(record)):
        return "changed"
    if sha256 and record.adapter not in ("", sha256):
        return "outdated"
    if any(step.facts.get("problems") for step in steps):
        return "failed"
    return "proven" if kind == "adapter" or any(step.facts.get("headline") for step in steps) else "unproven"
