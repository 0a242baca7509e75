"""What `codex-tui export` prints: JSON for scripts, and lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from codex_tui.base.text import format_size, pluralize
from codex_tui.export.card import BASE_WEIGHTS, find_made
from codex_tui.export.gguf_types import describe_fallbacks
from codex_tui.export.ollama import describe_modelfile
from codex_tui.export.plan import ADAPTER
from codex_tui.export.proof_report import SOURCES

if TYPE_CHECKING:
    from codex_tui.export.ollama import OllamaCommand
    from codex_tui.export.plan import ExportPlan
    from codex_tui.export.records import ExportRecord


def format_json(plan: ExportPlan, record: ExportRecord, ollama: OllamaCommand | None) -> dict[str, Any]:
    files = {name: file for step in record.steps.values() for name, file in step.files.items()}
    return {
        "run": record.run,
        "to": record.to,
        "folder": str(plan.out),
        "files": {name: {"bytes": file.size, "sha256": file.sha256} for name, file in files.items()},
        "steps": {name: step.facts for name, step in record.steps.items()},
        **({"ollama": {"command": str(ollama), "created": ollama.program is not None}} if ollama else {}),
    }


def format_report(plan: ExportPlan, record: ExportRecord, ollama: OllamaCommand | None) -> Iterator[str]:
    """The lines for a person. Clean each before you print it."""
    files = [file for step in record.steps.values() for file in step.files.values()]
    size = format_size(sum(file.size for file in files))
    yield f"{plan.run.name} as {plan.kind}: {pluralize(len(files), 'file')}, {size}"
    yield str(plan.out)
    for fact, value in find_made(record).items():
        if fact == BASE_WEIGHTS:
            yield f"Base weights: {value}."
    for step in record.steps.values():
        if headline := step.facts.get("headline"):
            yield f"Proof: {headline} ({SOURCES.get(step.facts.get('source', ''), 'questions')})"
    if not plan.proves:
        yield "Not proven: nobody has asked the exported model anything (--no-proof)."
    elif any(step.facts.get("quant") == ADAPTER for step in record.steps.values()):
        yield "The adapter alone is not proven, because it answers only with a base model in GGUF."
    remarks = [describe_fallbacks(step.facts) for step in record.steps.values()]
    if ollama:
        remarks += describe_modelfile(record, ollama)
    yield from filter(None, remarks)


def list_problems(record: ExportRecord) -> list[str]:
    """List what the proofs of the export found wrong, in sentences."""
    return [problem for step in record.steps.values() for problem in step.facts.get("problems", ())]
