"""Draws the exports of a run: an entry of the list for each kind, and what is to be said about the picked one."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from codex_tui.base.text import clean, format_size, pluralize
from codex_tui.export.card import BASE_WEIGHTS, CARD_KINDS, find_made
from codex_tui.export.plan import Kind
from codex_tui.export.results import ExportResult, Exports, State
from codex_tui.ui.kit.drawing import MUTED, STRONG, line, spread
from training.contract.card_usage import format_usage
from training.contract.model_card import hide_home

NAMES: dict[Kind, str] = {"adapter": "Adapter", "merged": "Merged model", "gguf": "GGUF", "ollama": "Ollama"}
PURPOSES: dict[Kind, str] = {
    "adapter": "for PEFT: small, and needs its base model",
    "merged": "one model for transformers and vLLM",
    "gguf": "a quantised file for llama.cpp and codex-tui serve",
    "ollama": "a quantised file with a Modelfile",
}
MARKS: dict[State, tuple[str, str]] = {
    "missing": ("·", MUTED),
    "unfinished": ("◌", "$warning"),
    "changed": ("!", "$warning"),
    "outdated": ("!", "$warning"),
    "failed": ("✗", "$error"),
    "unproven": ("✓", MUTED),
    "proven": ("✓", "$success"),
}
STATES: dict[State, str] = {
    "missing": "not exported yet",
    "unfinished": "not finished: Enter goes on after the last finished step",
    "changed": "a file has changed or is gone: Enter makes it again",
    "outdated": "of an earlier adapter: Enter exports the present one",
    "failed": "its proof found a problem",
    "unproven": "not proven: nobody has asked it anything",
    "proven": "proven",
}


def draw_entry(result: ExportResult, width: int) -> list[Content]:
    mark, style = MARKS[result.state]
    size = format_size(result.size) if result.size else ""
    name = line((f"{mark} ", style), (f"{NAMES[result.kind]:<14}", STRONG), (PURPOSES[result.kind], MUTED))
    return [
        spread(name.truncate(width - len(size) - 1, ellipsis=True), Content(size), width),
        line("  ", _describe_state(result)).truncate(width, ellipsis=True),
    ]


def _describe_state(result: ExportResult) -> Content:
    if result.state == "failed":
        return line((clean(result.problems[0]), "$error"))
    if result.state == "proven" and result.kind == "adapter":
        return line(("the adapter of the run, byte for byte", MUTED))
    if result.state == "proven":
        return Content(clean(result.headlines[0]))
    return line((STATES[result.state], MUTED if result.state in ("missing", "unproven") else "$warning"))


def draw_details(exports: Exports, result: ExportResult, run: str) -> Iterator[Content]:
    """Draw what the picked export is, its files and its proof, and how it is used."""
    if result.record is None:
        yield from _draw_missing(exports, result)
        return
    yield line(("Folder  ", MUTED), clean(hide_home(str(result.folder))))
    yield line(("Files   ", MUTED), _describe_files(result))
    if weights := find_made(result.record).get(BASE_WEIGHTS):
        yield line(("Base    ", MUTED), clean(weights))
    for problem in result.problems:
        yield line(("! ", "bold $error"), (clean(problem), "$error"))
    for headline in result.headlines:
        yield line(("Proof   ", MUTED), clean(headline))
    if result.state in ("unfinished", "changed", "outdated"):
        return
    yield Content("")
    yield line(("How to use it (y copies the lines)", MUTED))
    yield from (Content(clean(row)) for row in hide_home(format_lines(exports, result, run)).split("\n"))
    if result.kind != "ollama":
        yield Content("")
        option = "" if result.kind == "adapter" else f" --export {result.kind}"
        yield line(("To share it: ", MUTED), f"codex-tui push {clean(run)} OWNER/NAME{option}")


def _draw_missing(exports: Exports, result: ExportResult) -> Iterator[Content]:
    yield line((f"{NAMES[result.kind]}: {PURPOSES[result.kind]}.", STRONG))
    yield Content("")
    yield line((f"Enter writes it to {clean(hide_home(str(result.folder)))}.", MUTED))
    if result.kind == "adapter":
        yield line(("The adapter of the run with its tokenizer and a card, in a folder of its own.", MUTED))
        return
    yield line(
        (
            "Then the exported model is asked questions that the run has not learned. Its prompts, its answers and its "
            "loss are compared with those of the run, so that a lost chat template or a missing end token shows.",
            MUTED,
        )
    )
    if exports.loads_4bit:
        yield line(
            (
                "The run loads its base model in 4 bits. The adapter is added to these weights, unpacked to 16 bits, "
                "or to the original ones: you choose.",
                MUTED,
            )
        )


def _describe_files(result: ExportResult) -> str:
    names = ", ".join(clean(name) for name in result.names[:3])
    rest = len(result.names) - 3
    return f"{names} and {pluralize(rest, 'other')}" if rest > 0 else names or "none"


def format_lines(exports: Exports, result: ExportResult, run: str) -> str:
    """The lines that a person copies to use the export."""
    if result.kind == "ollama":
        return f"ollama run {run}"
    if result.kind == "gguf":
        return f"codex-tui serve {run}"
    form = exports.form
    return format_usage(CARD_KINDS[result.kind], str(result.folder), form.system_prompt, is_text=form.text)
