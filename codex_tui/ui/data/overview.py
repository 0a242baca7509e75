"""The overview of a dataset: the figures of all rows, warnings, and the bad rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean, format_duration_range, format_percent, pluralize
from codex_tui.data.filter import MEANINGS
from codex_tui.data.view import DataView
from codex_tui.ui.data.histogram import draw_histogram
from codex_tui.ui.data.text import explain_missing_tokens
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, Part, line

if TYPE_CHECKING:
    from codex_tui.data.overview import Overview
    from training.dataset.source import Source

NAME_WIDTH = 12  # cells
WORDS_AT = 24  # the cell where the words after a figure begin
MAX_REASONS = 6
MAX_FILES = 3  # names for each reason why files are left out
MAX_BAD_ROWS = 10


def draw_overview(view: DataView, width: int) -> Iterator[Content]:
    """Draws all that is known about the rows now, in lines of `width` cells."""
    overview = view.overview
    if view.rows.error:
        yield line((f"✗ {clean(view.rows.error[0], newlines=True)}", "$error"))
        yield line((clean(view.rows.error[1], newlines=True), MUTED))
        return
    if view.reader and view.reader.notice:
        yield line((clean(view.reader.notice), "$warning"))
        yield Content("")
    if view.reader and view.reader.status == "failed" and view.reader.error:
        yield line((f"✗ {clean(view.reader.error.message, newlines=True)}", "$error"))
        yield line((clean(view.reader.error.hint, newlines=True), MUTED))
        yield Content("")
    if view.no_tokens[0]:
        yield from explain_missing_tokens(view)
        yield Content("")
    if overview is None:
        yield from _explain_missing_overview(view)
        return
    yield from _draw_warnings(view, width)
    for fact in _draw_facts(view, overview):
        yield from _wrap_beside(fact[:WORDS_AT], fact[WORDS_AT:], width)
    if view.rows.states and view.rows.states.lengths and overview.tokens:
        yield Content("")
        tokens = overview.tokens
        marks = {"p50": tokens.p50, "p90": tokens.p90, "p95": tokens.p95, "p99": tokens.p99, "max": tokens.max}
        parts = [part for name, value in marks.items() for part in ((f"   {name} ", MUTED), f"{value:,}")]
        yield line(("Tokens per row", STRONG), *parts)
        yield from draw_histogram(view.rows.states.lengths.ordered, view.limit, marks, width)
    yield from _draw_bad_rows(view)
    yield Content("")
    yield line(("Signs in the list", STRONG))
    for sign, meaning in MEANINGS.items():
        yield line(f"  {sign}  ", (meaning, MUTED))


def _explain_missing_overview(view: DataView) -> Iterator[Content]:
    if view.works:
        yield line(("Reading the rows. The figures appear here afterwards.", MUTED))
    elif view.target.profile is None:
        yield line(("The figures depend on a profile: its model, max_seq_length and batch size.", MUTED))
        yield line(("codex-tui data view FILE --profile P", "$primary"))
        if view.rows.states:
            yield Content("")
            scan = view.rows.states.scan
            yield _draw_fact("rows", f"{scan.rows:,}", f"{scan.kept:,} usable")
            yield from _draw_bad_rows(view)
    elif view.rows.count:
        yield line((f"Press t to read all {view.rows.count:,} rows and count their tokens.", MUTED))


def _draw_warnings(view: DataView, width: int) -> Iterator[Content]:
    if not view.warnings:
        if view.overview and view.overview.tokens:
            yield line(("✓ No warnings", "$success"))
            yield Content("")
        return
    for warning in view.warnings:
        yield from _wrap_beside(line(("! ", "bold $warning")), line(clean(warning.message)), width)
        if warning.remedy:
            yield from _wrap_beside(line(("  → ", MUTED)), line((clean(warning.remedy), MUTED)), width)
    yield Content("")


def _wrap_beside(first: Content, text: Content, width: int) -> Iterator[Content]:
    """Wraps `text` to the right of `first`."""
    indent = first.cell_length
    for number, row in enumerate(text.wrap(max(8, width - indent))):
        yield line(first if not number else " " * indent, row)


def draw_summary(overview: Overview | None) -> Content:
    """Draws the most important figures in one row."""
    if overview is None:
        return line(("No figures yet", STRONG))
    parts: list[Part] = [(f"{overview.kept:,}", STRONG), f" of {pluralize(overview.rows, 'row')} usable"]
    if overview.truncated is not None:
        lost = f"{pluralize(overview.answers_lost or 0, 'answer')} lost"
        parts += [f" · {overview.truncated:,} cut short · ", (lost, "bold $error" if overview.answers_lost else "")]
    return line(*parts)


def _draw_facts(view: DataView, overview: Overview) -> Iterator[Content]:
    bad = overview.rows - overview.kept
    yield _draw_fact("rows", f"{overview.rows:,}", f"{overview.kept:,} usable" + (f", {bad:,} skipped" if bad else ""))
    for reason, rows in list(overview.reasons.items())[:MAX_REASONS]:
        yield _draw_fact("", f"{rows:,}", clean(reason))
    if others := sum(list(overview.reasons.values())[MAX_REASONS:]):
        yield _draw_fact("", f"{others:,}", "for other reasons; press b to list all")
    yield from _draw_files(view.target.source)
    yield _draw_fact("training", f"{overview.train_rows:,}", f"rows; {overview.eval_rows:,} for evaluation")
    yield from _draw_token_facts(view, overview)
    yield _draw_fact("steps", f"{overview.steps_per_epoch:,}", f"per epoch, {overview.total_steps:,} in total")
    if passes := overview.passes:
        yield _draw_fact(
            "packing", format_percent(passes.fill), f"of each pass filled, {passes.per_step:.1f} passes a step"
        )
    if duration := view.duration:
        source = "as fast as the last run here" if duration.speed.measured else "estimated for this card"
        yield _draw_fact("time", format_duration_range(*duration.epoch), f"per epoch, {source}")
        if duration.epochs != 1:
            yield _draw_fact("", format_duration_range(duration.shortest, duration.longest), "in total")
    elif overview.tokens:
        yield _draw_fact("time", "–", "per epoch: known after a run on this machine")
    yield from _draw_duplicates(overview)
    reading = view.rows.states.scan.reading if view.rows.states else None
    if reading and reading.shape:
        yield _draw_fact("shape", reading.shape.replace("_", " and "), "")
        yield _draw_fact("columns", "", "used " + clean(", ".join(reading.used)))
        if reading.ignored:
            yield _draw_fact("", "", "ignored " + clean(", ".join(reading.ignored)), "$warning")


def _draw_files(source: Source) -> Iterator[Content]:
    """Draws which files of a folder or a repository are read, and why the others are not."""
    if len(source.files) == 1 and not source.left_out:
        return
    held = f"; {pluralize(len(source.eval_files), 'file')} only for the evaluation" if source.eval_files else ""
    yield _draw_fact("files", f"{len(source.train_files):,}", f"read for training{held}")
    if merging := source.describe_merging():
        yield _draw_fact("", "", clean(merging))
    for reason, names in source.group_left_out().items():
        more = f" and {len(names) - MAX_FILES:,} more" if len(names) > MAX_FILES else ""
        listed = ", ".join(names[:MAX_FILES]) + more
        yield _draw_fact("", f"{len(names):,}", clean(f"left out ({reason}): {listed}"))


def _draw_token_facts(view: DataView, overview: Overview) -> Iterator[Content]:
    if overview.tokens is None:
        if view.reader is None or view.reader.status == "failed":
            reason = "not counted: needs the training environment"
        else:
            reason = "counting" if view.works else "press t to count them"
        yield _draw_fact("tokens", "–", reason)
        return
    cut_style = "$warning" if overview.truncated else ""
    settings = view.target.settings.dataset
    fate = "left out" if settings.long_rows == "drop" else "cut short"
    yield _draw_fact(fate, f"{overview.truncated:,}", f"rows longer than {view.limit:,} tokens", cut_style)
    if overview.truncated:
        lost_style = "bold $error" if overview.answers_lost else ""
        yield _draw_fact("", f"{overview.answers_lost:,}", f"of {overview.answers:,} answers lost", lost_style)
        yield _draw_fact("", f"{overview.answers_cut:,}", "answers lose their end", cut_style)
    learned, trained = figures.format_count(overview.learned_tokens), figures.format_count(overview.train_tokens)
    yield _draw_fact("learned", learned, f"of {trained} tokens per epoch")
    if overview.answers:
        learned_answers = overview.answers - (overview.answers_lost or 0)
        words = f'of {overview.answers:,} answers; dataset.learn = "{settings.learn}"'
        yield _draw_fact("", f"{learned_answers:,}", words)
    if overview.train_sequences > overview.train_rows:
        yield _draw_fact("sequences", f"{overview.train_sequences:,}", "from the training rows: the chat template")
        yield _draw_fact("", "", "changes earlier answers, and each is learned as it is given")
    if overview.refused:
        yield _draw_fact("refused", f"{overview.refused:,}", "by the model's chat template", "bold $error")


def _draw_duplicates(overview: Overview) -> Iterator[Content]:
    duplicates = overview.duplicates
    near = f"{duplicates.near:,} near-duplicates" if duplicates.near_counted else (
        "too many rows to search for near-duplicates"
    )  # fmt: skip
    style = "$warning" if duplicates.exact or duplicates.near else ""
    yield _draw_fact("duplicates", f"{duplicates.exact:,}", f"exact; {near}", style)
    if duplicates.overlap:
        words = "evaluation rows that also occur in training"
        yield _draw_fact("overlap", f"{duplicates.overlap:,}", words, "$warning")


def _draw_bad_rows(view: DataView) -> Iterator[Content]:
    if not view.rows.states or not view.rows.states.scan.problems:
        return
    problems, source = view.rows.states.scan.problems, view.target.source
    yield Content("")
    yield line(("Bad rows", STRONG))
    for row, problem in list(problems.items())[:MAX_BAD_ROWS]:
        label = source.label(problem.file)
        where = f"{clean(label)}, line {problem.line:,}" if label else f"line {problem.line:,}"
        yield line((f"  {where:<14} ", MUTED), (clean(problem.message), "$error"), (f"   row {row + 1:,}", MUTED))
    more = view.rows.states.scan.rows - view.rows.states.scan.kept - MAX_BAD_ROWS
    yield line((f"  {f'and {more:,} more; ' if more > 0 else ''}press b to list them", MUTED))


def _draw_fact(name: str, value: str, words: str, style: str = "") -> Content:
    parts: list[Part] = [(f"{name:<{NAME_WIDTH}} ", MUTED)]
    if value:
        parts.append((f"{value:>9} ", style))
        parts.append((f" {words}", MUTED))
    else:
        parts.append((words, style))
    return line(*parts)
