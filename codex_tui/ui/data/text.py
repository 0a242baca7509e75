"""The data screen's words: a line of the list, what is said over a row, and the row itself."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from codex_tui.base.text import clean, duration
from codex_tui.data.filter import NEEDS_TOKENS
from codex_tui.data.rows import Listed, Work
from codex_tui.data.view import DataView
from codex_tui.ui.data.row_view import as_seen, lines, one_by_one, raw
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from training.dataset.records import Unreadable

PANES = (("seen", "Model"), ("raw", "Raw"), ("tokens", "Tokens"), ("overview", "Overview"))
FILTERS = {"all": "all", "bad": "bad", "cut": "cut", "longest": "longest first", "duplicates": "duplicates"}
SIGN_STYLES = {"✗": "bold $error", "!": "bold $error", ">": "bold $warning", "=": "$secondary", "~": "$secondary"}
DOING = {"scanning": "reading the rows", "tokenising": "counting tokens", "indexing": "finding the rows"}
MOST_RAW = 200_000  # bytes of a row that can't be read


def row_at(view: DataView, place: int) -> Content:
    """The line at `place` of the list."""
    if place >= len(view.places):  # a search has just begun; the list is shown anew in a moment
        return Content("")
    found = view.listed(place)
    return listed(found, len(f"{view.rows:,}"), f"{where(view, found.row)}  " if view.kind == "bad" else "")


def listed(found: Listed, widest: int, where: str = "") -> Content:
    """Position, signs, and the first words, or `where` and what is wrong."""
    signs = [line((sign, SIGN_STYLES.get(sign, MUTED))) for sign in found.signs[:3]]
    gap = " " * (4 - len(signs))
    words = line((where, MUTED), (clean(found.problem), "$error")) if found.problem else line(clean(found.words))
    return line((f"{found.row + 1:>{widest},} ", MUTED), *signs, gap, words)


def nothing_listed(view: DataView) -> list[Content]:
    """Why the list is empty."""
    if view.error:
        message, hint = view.error
        return [line((f"✗ {clean(message, newlines=True)}", "$error")), *([line((clean(hint), MUTED))] if hint else [])]
    if view.filtering and view.judged is None:
        return [
            line(("Not known yet: the rows are still being read.", MUTED)),
            _how(view),
            line(("a shows all.", MUTED)),
        ]
    if view.filtering:
        return [line(("Looking …", MUTED))]
    if view.kind in NEEDS_TOKENS and view.judged and view.judged.lengths is None:
        return [line(("The tokens have not been counted.", MUTED)), _how(view), line(("a shows all.", MUTED))]
    if view.needle:
        if "searching" in view.works:
            return [line(("Searching …", MUTED))]
        return [line((f"No row has “{clean(view.needle)}”.", MUTED)), line(("Esc ends the search.", MUTED))]
    if view.kind != "all":
        what = {"bad": "No row is bad.", "cut": f"No row is longer than {view.limit:,} tokens.",
                "duplicates": "No row says what another one says."}.get(view.kind, "There are none.")  # fmt: skip
        return [line((f"✓ {what}", "$success")), line(("a shows all.", MUTED))]
    if not view.complete:
        return [line(("Finding the rows …", MUTED))]
    return [line(("The dataset has no rows.", MUTED)), line(('A row is {"instruction": "…", "response": "…"}.', MUTED))]


def _how(view: DataView) -> Content:
    """How one comes to tokens."""
    if view.target.profile is None:
        return line(("A profile names the model that counts them: --profile P.", MUTED))
    message, hint = (view.reader.error if view.reader else None) or view.no_tokens
    if message:
        return line((clean(message, newlines=True), "$warning"), (clean(f"  {hint}", newlines=True), MUTED))
    return line(("t counts them.", MUTED)) if not view.works else Content("")


def working(work: Work, keys: str, width: int) -> Content:
    """What goes on, how far it is, and when it will be done."""
    what = DOING.get(work.what, work.what)
    bar = figures.progress(work.fraction, max(6, min(24, width - 60)))
    left = f", {duration(work.eta)} left" if work.eta is not None else ""
    share = f" {figures.percent(work.done, work.total)} %{left}" if work.total else " …"
    return line((f"{what[:1].upper()}{what[1:]} ", MUTED), bar, share, (f"   {keys}" if keys else "", MUTED))


def heading(view: DataView) -> Content:
    """Over the row: what is known of it."""
    row = view.reader.row if view.reader else None
    parts: list[str] = []
    if row and row.get("tokens") is not None:
        parts.append(f"{figures.count(row['tokens'])} tokens, {figures.count(row.get('learned_tokens'))} learned")
    if row and row.get("split"):
        parts.append(
            {"train": "train", "eval": "held out", "dropped": "dropped"}.get(row["split"], clean(row["split"]))
        )
    if view.index and view.row < view.rows:
        parts.append(where(view, view.row))
    if view.judged and view.row < view.judged.scan.rows:
        first = view.judged.scan.twins[view.row]
        if first != view.row:
            parts.append(f"{'same as' if '=' in view.judged.signs(view.row, 0) else 'like'} row {first + 1:,}")
    if view.reader and view.reader.status == "ready" and row is None and not view.reader.error:
        parts.append("reading …")
    return line(" · ".join(parts))


def where(view: DataView, row: int) -> str:
    """The file, if there are several, and the line."""
    assert view.index
    label = view.target.source.label(view.index.file(row))  # of a Parquet file, not of its copy
    return f"{clean(label)}{', ' if label else ''}line {view.index.line(row):,}"


def limit_text(view: DataView) -> Content:
    """Where rows are cut, and whether that is only looked at."""
    if not view.target.profile:
        return Content("")
    if view.limit == view.own_limit:
        return line((f"max_seq_length {view.limit:,}", MUTED))
    return line((f"if cut at {view.limit:,}", "bold $warning"), (f" (the profile: {view.own_limit:,})", MUTED))


def body(view: DataView, pane: str, numbered: bool) -> list[Content] | None:
    """The row; None where what is shown should stay until it is here."""
    try:
        record = view.record()
    except (OSError, Unreadable) as error:
        return [line((f"✗ {clean(error)}", "$error"))]
    if record is None:
        return nothing_listed(view) if not view.rows else []
    problem = view.problem(record)
    if record.raw is None:
        return [*_bad(problem), *lines(view.text(MOST_RAW))]
    as_it_stands = [*_bad(problem), *raw(record.raw, view.columns_used(record))]
    if pane == "raw" or (problem and not (view.reader and view.reader.row)):
        return as_it_stands
    if view.reader is None:
        return [*_no_model(view), Content(""), *as_it_stands]
    if view.reader.error:
        message, hint = view.reader.error
        said = line((f"✗ {clean(message, newlines=True)}", "$error"))
        return [said, line((clean(hint, newlines=True), MUTED)), Content(""), *as_it_stands]
    row = view.reader.row
    if row is None:
        loading = line((f"Loading the tokenizer … {clean(view.reader.phase)}", MUTED))
        return [loading, Content(""), *as_it_stands] if view.reader.status == "loading" else None
    if row.get("problem"):
        return [*_bad(str(row["problem"])), *raw(record.raw)]
    if row.get("tokens") is None:
        return [*no_tokens(view), Content(""), *as_it_stands]
    return list(one_by_one(row, numbered) if pane == "tokens" else as_seen(row))


def no_tokens(view: DataView) -> Iterator[Content]:
    """Why the model's tokens can't be had, and what to do."""
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
