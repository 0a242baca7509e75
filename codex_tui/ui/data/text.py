"""The texts of the data screen: a line of the list, the heading above a row, and the row itself."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from codex_tui.base.progress import ProgressTracker
from codex_tui.base.text import clean, duration
from codex_tui.data.filter import NEEDS_TOKENS
from codex_tui.data.rows import RowPreview
from codex_tui.data.view import DataView
from codex_tui.ui.data.row_view import as_seen, lines, one_by_one, raw
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from training.dataset.records import Unreadable

PANES = (("seen", "Model"), ("raw", "Raw"), ("tokens", "Tokens"), ("overview", "Overview"))
FILTERS = {"all": "all", "bad": "bad", "cut": "cut", "longest": "longest first", "duplicates": "duplicates"}
SIGN_STYLES = {"✗": "bold $error", "!": "bold $error", ">": "bold $warning", "=": "$secondary", "~": "$secondary"}
DOING = {"scanning": "reading the rows", "tokenising": "counting tokens", "indexing": "finding the rows"}
MAX_UNREADABLE_BYTES = 200_000  # of a row that is not JSON


def draw_row(view: DataView, place: int) -> Content:
    """The line at `place` of the list."""
    if place >= len(view.rows.listed):  # a search has just begun; the list is drawn again in a moment
        return Content("")
    preview = view.rows.preview(place)
    where = f"{locate(view, preview.row)}  " if view.rows.kind == "bad" else ""
    return draw_preview(preview, len(f"{view.rows.count:,}"), where)


def draw_preview(preview: RowPreview, number_width: int, where: str = "") -> Content:
    """The row's number, its signs, and its first words; of a bad row, `where` it is and what is wrong with it."""
    signs = [line((sign, SIGN_STYLES.get(sign, MUTED))) for sign in preview.signs[:3]]
    gap = " " * (4 - len(signs))
    problem = line((where, MUTED), (clean(preview.problem), "$error"))
    words = problem if preview.problem else line(clean(preview.words))
    return line((f"{preview.row + 1:>{number_width},} ", MUTED), *signs, gap, words)


def explain_empty_list(view: DataView) -> list[Content]:
    """Why the list is empty."""
    rows = view.rows
    if rows.error:
        message, hint = rows.error
        return [line((f"✗ {clean(message, newlines=True)}", "$error")), *([line((clean(hint), MUTED))] if hint else [])]
    if rows.filtering and rows.states is None:
        return [
            line(("Not known yet: the rows are still being read.", MUTED)),
            _how_to_count(view),
            line(("a shows all.", MUTED)),
        ]
    if rows.filtering:
        return [line(("Looking …", MUTED))]
    if rows.kind in NEEDS_TOKENS and rows.states and rows.states.lengths is None:
        return [line(("The tokens have not been counted.", MUTED)), _how_to_count(view), line(("a shows all.", MUTED))]
    if rows.needle:
        if "searching" in view.works:
            return [line(("Searching …", MUTED))]
        return [line((f"No row has “{clean(rows.needle)}”.", MUTED)), line(("Esc ends the search.", MUTED))]
    if rows.kind != "all":
        what = {"bad": "No row is bad.", "cut": f"No row is longer than {view.limit:,} tokens.",
                "duplicates": "No row says what another one says."}.get(rows.kind, "There are none.")  # fmt: skip
        return [line((f"✓ {what}", "$success")), line(("a shows all.", MUTED))]
    if not rows.complete:
        return [line(("Finding the rows …", MUTED))]
    return [line(("The dataset has no rows.", MUTED)), line(('A row is {"instruction": "…", "response": "…"}.', MUTED))]


def _how_to_count(view: DataView) -> Content:
    """What to do to have the tokens counted."""
    if view.target.profile is None:
        return line(("A profile names the model that counts them: --profile P.", MUTED))
    error = view.reader.error if view.reader else None
    message, hint = (error.message, error.hint) if error else view.no_tokens
    if message:
        return line((clean(message, newlines=True), "$warning"), (clean(f"  {hint}", newlines=True), MUTED))
    return line(("t counts them.", MUTED)) if not view.works else Content("")


def draw_work(work: ProgressTracker, keys: str, width: int) -> Content:
    """The work in progress, how far it is, and how long it will still take."""
    progress, seconds_left = work.progress, work.seconds_left
    what = DOING.get(progress.step, progress.step)
    bar = figures.draw_progress(progress.fraction, max(6, min(24, width - 60)))
    left = f", {duration(seconds_left)} left" if seconds_left is not None else ""
    share = f" {figures.compute_percent(progress.done, progress.total)} %{left}" if progress.total else " …"
    return line((f"{what[:1].upper()}{what[1:]} ", MUTED), bar, share, (f"   {keys}" if keys else "", MUTED))


def heading(view: DataView) -> Content:
    """The heading above the row: its length, its split, its place in the file."""
    rows, row = view.rows, view.reader.row if view.reader else None
    parts: list[str] = []
    if row and row.tokens is not None:
        parts.append(f"{figures.format_count(row.tokens)} tokens, {figures.format_count(row.learned_tokens)} learned")
    if row and row.split:
        parts.append("held out" if row.split == "eval" else row.split)
    if rows.index and rows.current < rows.count:
        parts.append(locate(view, rows.current))
    if rows.states and rows.current < rows.states.scan.rows:
        first = rows.states.scan.twins[rows.current]
        if first != rows.current:
            parts.append(f"{'same as' if '=' in rows.states.signs(rows.current, 0) else 'like'} row {first + 1:,}")
    if view.reader and view.reader.status == "ready" and row is None and not view.reader.error:
        parts.append("reading …")
    return line(" · ".join(parts))


def locate(view: DataView, row: int) -> str:
    """The file, if there are several, and the line."""
    assert view.rows.index
    label = view.target.source.label(view.rows.index.file(row))  # a Parquet file has its own name, not its copy's
    return f"{clean(label)}{', ' if label else ''}line {view.rows.index.line(row):,}"


def limit_text(view: DataView) -> Content:
    """Where rows are cut, and the profile's own length if it is another one."""
    if not view.target.profile:
        return Content("")
    if view.limit == view.own_limit:
        return line((f"max_seq_length {view.limit:,}", MUTED))
    return line((f"if cut at {view.limit:,}", "bold $warning"), (f" (the profile: {view.own_limit:,})", MUTED))


def body(view: DataView, pane: str, numbered: bool) -> list[Content] | None:
    """The selected row for `pane`; None if the text on the screen should stay until the row is here."""
    rows, reader = view.rows, view.reader
    if rows.current >= rows.count:
        return [] if rows.count else explain_empty_list(view)
    row = reader.row if reader and not reader.error else None
    try:
        if pane != "raw" and row and not row.problem and row.tokens is not None:
            rows.read_text(1)  # raises if the file has changed since the row was asked for
            return list(one_by_one(row, numbered) if pane == "tokens" else as_seen(row))
        return _from_file(view, pane)
    except (OSError, Unreadable) as error:
        return [line((f"✗ {clean(error)}", "$error"))]


def _from_file(view: DataView, pane: str) -> list[Content] | None:
    """The row as the file has it, and why it is not shown as the model sees it. Raises OSError, Unreadable."""
    reader, record = view.reader, view.rows.read_record()
    if record is None:
        return []
    parsed, problem = view.rows.parse(record)
    if record.raw is None:
        return [*_bad(problem), *lines(view.rows.read_text(MAX_UNREADABLE_BYTES))]
    row = reader.row if reader else None
    reasons: list[Content] = []
    if pane != "raw" and (row or not problem):
        if reader is None:
            reasons = [*_no_model(view)]
        elif reader.error:
            message, hint = reader.error.message, reader.error.hint
            failed = line((f"✗ {clean(message, newlines=True)}", "$error"))
            reasons = [failed, line((clean(hint, newlines=True), MUTED))]
        elif row is None:
            if reader.status != "loading":
                return None
            reasons = [line(("Loading the tokenizer …", MUTED))]
        elif row.problem:
            return [*_bad(row.problem), *raw(record.raw)]
        else:
            reasons = [*no_tokens(view)]
        reasons.append(Content(""))
    return [*reasons, *_bad(problem), *raw(record.raw, parsed.used if parsed else None)]


def no_tokens(view: DataView) -> Iterator[Content]:
    """Why there are no tokens of the model, and what to do."""
    for text, style in zip(view.no_tokens, ("$warning", MUTED), strict=True):
        if text:
            yield line((clean(text, newlines=True), style))


def _no_model(view: DataView) -> Iterator[Content]:
    if view.target.profile is None:
        yield line(("As the model sees it: ", STRONG), ("which model is said by a profile.", MUTED))
        yield line(("codex-tui data view FILE --profile P", ACCENT))
    elif view.no_tokens[0]:
        yield from no_tokens(view)
    else:
        yield line(("Starting …", MUTED))


def _bad(problem: str) -> Iterator[Content]:
    if problem:
        yield line((f"✗ {clean(problem)}", "bold $error"))
        yield line(("  Nothing can be learned from this row.", MUTED))
        yield Content("")
