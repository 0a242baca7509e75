"""Draws the texts of the data screen: a line of the list, the heading above a row, and the row itself."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from codex_tui.base.text import clean, pluralize
from codex_tui.data.filter import NEEDS_TOKENS
from codex_tui.data.rows import RowPreview
from codex_tui.data.view import DataView
from codex_tui.ui.data.row_view import draw_lines, draw_model_view, draw_raw, draw_tokens
from codex_tui.ui.data.xray import draw_losses, draw_xray, explain_unmeasured
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from training.dataset.formats import Unreadable

SPLIT_NAMES = {"train": "training", "eval": "evaluation", "dropped": "skipped"}
FILTERS = {
    "all": "all", "bad": "bad", "cut": "cut", "longest": "longest first", "duplicates": "duplicates",
    "worst": "worst-learned first (loss: base → adapter)",
}  # fmt: skip
SIGN_STYLES = {"✗": "bold $error", "!": "bold $error", ">": "bold $warning", "=": "$secondary", "~": "$secondary"}
MAX_UNREADABLE_BYTES = 200_000  # shown of a row that is not JSON


def draw_row(view: DataView, place: int) -> Content:
    """Draws the line at `place` of the list."""
    if place >= len(view.rows.listed):  # a search has just begun, and the list is drawn again soon
        return Content("")
    preview = view.rows.preview(place)
    if view.rows.kind == "worst" and view.rows.xray and (losses := view.rows.xray.find_losses(preview.row)):
        where = locate(view, preview.row)
        return _draw_measured(preview, losses, f"{where:<{len('line ') + len(f'{view.rows.count:,}')}}")
    where = f"{locate(view, preview.row)}  " if view.rows.kind == "bad" else ""
    return draw_preview(preview, len(f"{view.rows.count:,}"), where)


def draw_preview(preview: RowPreview, number_width: int, where: str = "") -> Content:
    """Draws the row's number, its signs and its first words. A bad row has its place (`where`) and its problem."""
    problem = line((where, MUTED), (clean(preview.problem), "$error"))
    words = problem if preview.problem else line(clean(preview.words))
    return line((f"{preview.row + 1:>{number_width},} ", MUTED), *_draw_signs(preview, 3), words)


def _draw_measured(preview: RowPreview, losses: tuple[float, float], where: str) -> Content:
    """Draws the losses per token of base and adapter, the row's place, and its signs and first words."""
    return line(draw_losses(*losses), (f"  {where}  ", MUTED), *_draw_signs(preview, 2), clean(preview.words))


def _draw_signs(preview: RowPreview, width: int) -> list[Content]:
    """Draws the row's signs, and spaces up to `width` columns and one more."""
    signs = [line((sign, SIGN_STYLES.get(sign, MUTED))) for sign in preview.signs[:3]]
    return [*signs, Content(" " * (max(width, len(signs)) - len(signs) + 1))]


def explain_empty_list(view: DataView) -> list[Content]:
    """Says why the list is empty."""
    rows = view.rows
    if rows.error:
        message, hint = rows.error
        return [line((f"✗ {clean(message, newlines=True)}", "$error")), *([line((clean(hint), MUTED))] if hint else [])]
    if rows.kind == "worst" and rows.xray is None:
        return [*explain_unmeasured(view), Content(""), line(("Press a to show all.", MUTED))]
    if rows.filtering and rows.states is None:
        return [
            line(("Not known yet: still reading the rows.", MUTED)),
            _explain_counting(view),
            line(("Press a to show all.", MUTED)),
        ]
    if rows.filtering:
        return [line(("Filtering …", MUTED))]
    if rows.kind in NEEDS_TOKENS and rows.states and rows.states.lengths is None:
        return [
            line(("The tokens have not been counted.", MUTED)),
            _explain_counting(view),
            line(("Press a to show all.", MUTED)),
        ]
    if rows.needle:
        if "searching" in view.works:
            return [line(("Searching …", MUTED))]
        return [
            line((f"No row contains “{clean(rows.needle)}”.", MUTED)),
            line(("Press Esc to end the search.", MUTED)),
        ]
    if rows.kind != "all":
        result = {"bad": "No bad rows.", "cut": f"No row is longer than {view.limit:,} tokens.",
                "duplicates": "No row repeats another one."}.get(rows.kind, "No such rows.")  # fmt: skip
        return [line((f"✓ {result}", "$success")), line(("Press a to show all.", MUTED))]
    if not rows.complete:
        return [line(("Finding the rows …", MUTED))]
    return [
        line(("The dataset has no rows.", MUTED)),
        line(('Example row: {"instruction": "…", "response": "…"}.', MUTED)),
    ]


def _explain_counting(view: DataView) -> Content:
    """Says how to count the tokens."""
    if view.target.profile is None:
        return line(("Counting needs the model of a profile: pass --profile P.", MUTED))
    error = view.reader.error if view.reader else None
    message, hint = (error.message, error.hint) if error else view.no_tokens
    if message:
        return line((clean(message, newlines=True), "$warning"), (clean(f"  {hint}", newlines=True), MUTED))
    return line(("Press t to count them.", MUTED)) if not view.works else Content("")


def draw_title(view: DataView) -> Content:
    """Draws what is shown: the dataset, its rows, and the profile or the run."""
    count = view.rows.count
    rows = pluralize(count, "row") if view.rows.complete else f"{count:,}+ rows"
    return line((clean(view.target.describe(rows)), MUTED))


def draw_heading(view: DataView) -> Content:
    """Draws the heading above the row: its length, its split and its place in the file."""
    rows, row = view.rows, view.reader.row if view.reader else None
    parts: list[str] = []
    if rows.xray and (losses := rows.xray.find_losses(rows.current)):
        parts.append(f"loss {losses[0]:.2f} → {losses[1]:.2f}")
    if row and row.sequences:
        parts.append(f"{figures.format_count(row.tokens)} tokens, {figures.format_count(row.learned_tokens)} learned")
    if row and row.split:
        parts.append(SPLIT_NAMES.get(row.split, row.split))
    if rows.index and rows.current < rows.count:
        parts.append(locate(view, rows.current))
    if rows.states and rows.current < rows.states.scan.rows:
        first = rows.states.scan.twins[rows.current]
        if first != rows.current:
            parts.append(
                f"{'same as' if '=' in rows.states.signs(rows.current, 0) else 'similar to'} row {first + 1:,}"
            )
    if view.reader and view.reader.status == "ready" and row is None and not view.reader.error:
        parts.append("reading …")
    return line(" · ".join(parts))


def locate(view: DataView, row: int) -> str:
    """Returns the row's place: its line, after its file if there are several."""
    assert view.rows.index
    label = view.target.source.label(view.rows.index.file(row))  # names the Parquet file, not its converted copy
    return f"{clean(label)}{', ' if label else ''}line {view.rows.index.line(row):,}"


def draw_limit(view: DataView) -> Content:
    """Draws the length at which rows are cut, and the profile's own length if it differs."""
    if not view.target.profile:
        return Content("")
    if view.limit == view.own_limit:
        return line((f"max_seq_length {view.limit:,}", MUTED))
    return line((f"if cut at {view.limit:,}", "bold $warning"), (f" (profile: {view.own_limit:,})", MUTED))


def draw_pane(view: DataView, pane: str, numbered: bool) -> list[Content] | None:
    """Draws the selected row for `pane`. Returns None while the row loads and the old text should stay."""
    rows, reader = view.rows, view.reader
    if rows.current >= rows.count:
        return [] if rows.count else explain_empty_list(view)
    row = reader.row if reader and not reader.error else None
    try:
        if pane != "raw" and row and not row.problem and row.sequences:
            rows.read_text(1)  # raises an error if the file has changed since the worker read the row
            if pane == "xray":
                return list(draw_xray(view, row, numbered))
            return list(draw_tokens(row, numbered) if pane == "tokens" else draw_model_view(row))
        return _draw_file_row(view, pane)
    except (OSError, Unreadable) as error:
        return [line((f"✗ {clean(error)}", "$error"))]


def _draw_file_row(view: DataView, pane: str) -> list[Content] | None:
    """Draws the row as it is in the file, and says why the model's view is not available.

    Raises OSError or Unreadable if the file cannot be read.
    """
    reader, record = view.reader, view.rows.read_record()
    if record is None:
        return []
    parsed, problem = view.rows.parse(record)
    if record.raw is None:
        return [*_draw_problem(problem), *draw_lines(view.rows.read_text(MAX_UNREADABLE_BYTES))]
    row = reader.row if reader else None
    reasons: list[Content] = []
    if pane != "raw" and (row or not problem):
        if reader is None:
            reasons = [*_explain_missing_model(view)]
        elif reader.error:
            message, hint = reader.error.message, reader.error.hint
            failed = line((f"✗ {clean(message, newlines=True)}", "$error"))
            reasons = [failed, line((clean(hint, newlines=True), MUTED))]
        elif row is None:
            if reader.status != "loading":
                return None
            reasons = [line(("Loading the tokenizer …", MUTED))]
        elif row.problem:
            return [*_draw_problem(row.problem), *draw_raw(record.raw)]
        else:
            reasons = [*explain_missing_tokens(view)]
        reasons.append(Content(""))
    return [*reasons, *_draw_problem(problem), *draw_raw(record.raw, parsed.used if parsed else None)]


def explain_missing_tokens(view: DataView) -> Iterator[Content]:
    """Says why the model's tokens are not available, and what to do."""
    for text, style in zip(view.no_tokens, ("$warning", MUTED), strict=True):
        if text:
            yield line((clean(text, newlines=True), style))


def _explain_missing_model(view: DataView) -> Iterator[Content]:
    if view.target.profile is None:
        yield line(("Model view: ", STRONG), ("needs a profile, which names the model.", MUTED))
        yield line(("codex-tui data view FILE --profile P", ACCENT))
    elif view.no_tokens[0]:
        yield from explain_missing_tokens(view)
    else:
        yield line(("Starting …", MUTED))


def _draw_problem(problem: str) -> Iterator[Content]:
    if problem:
        yield line((f"✗ {clean(problem)}", "bold $error"))
        yield line(("  Training skips this row.", MUTED))
        yield Content("")
