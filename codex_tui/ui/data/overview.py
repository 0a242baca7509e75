"""What all rows of a dataset come to, in words and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean, counted, duration
from codex_tui.data.filter import MEANINGS
from codex_tui.data.view import DataView
from codex_tui.ui.data.histogram import histogram
from codex_tui.ui.data.text import no_tokens
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, Part, line

if TYPE_CHECKING:
    from codex_tui.data.overview import Overview

NAME_WIDTH = 12
REASONS = 6
BAD_ROWS = 10


def overview(view: DataView, width: int) -> Iterator[Content]:
    found = view.overview
    if view.rows.error:
        yield line((f"✗ {clean(view.rows.error[0], newlines=True)}", "$error"))
        yield line((clean(view.rows.error[1], newlines=True), MUTED))
        return
    if view.reader and view.reader.status == "failed" and view.reader.error:
        yield line((f"✗ {clean(view.reader.error.message, newlines=True)}", "$error"))
        yield line((clean(view.reader.error.hint, newlines=True), MUTED))
        yield Content("")
    if view.no_tokens[0]:
        yield from no_tokens(view)
        yield Content("")
    if found is None:
        yield from _not_yet(view)
        return
    yield from _warnings(view, width)
    yield from _facts(view, found)
    if view.rows.states and view.rows.states.lengths and found.tokens:
        yield Content("")
        at = found.tokens
        marks = {"p50": at.p50, "p90": at.p90, "p95": at.p95, "p99": at.p99, "max": at.max}
        figures_ = [part for name, value in marks.items() for part in ((f"   {name} ", MUTED), f"{value:,}")]
        yield line(("Tokens a row", STRONG), *figures_)
        yield from histogram(view.rows.states.lengths.ordered, view.limit, marks, width)
    yield from _bad_rows(view)
    yield Content("")
    yield line(("Signs in the list", STRONG))
    for sign, meaning in MEANINGS.items():
        yield line(f"  {sign}  ", (meaning, MUTED))


def _not_yet(view: DataView) -> Iterator[Content]:
    if view.works:
        yield line(("The rows are being read; what they come to follows.", MUTED))
    elif view.target.profile is None:
        yield line(("What the rows come to depends on a profile: its model, its length, its batch.", MUTED))
        yield line(("codex-tui data view FILE --profile P", "$primary"))
        if view.rows.states:
            yield Content("")
            scan = view.rows.states.scan
            yield _fact("rows", f"{scan.rows:,}", f"{scan.kept:,} can be learned from")
            yield from _bad_rows(view)
    elif view.rows.count:
        yield line((f"t reads all {view.rows.count:,} rows and counts their tokens.", MUTED))


def _warnings(view: DataView, width: int) -> Iterator[Content]:
    if not view.warnings:
        if view.overview and view.overview.tokens:
            yield line(("✓ nothing to warn of", "$success"))
            yield Content("")
        return
    for warned in view.warnings:
        yield from hanging(line(("! ", "bold $warning")), line(clean(warned.message)), width)
        if warned.remedy:
            yield from hanging(line(("  → ", MUTED)), line((clean(warned.remedy), MUTED)), width)
    yield Content("")


def hanging(first: Content, text: Content, width: int) -> Iterator[Content]:
    """`text` wrapped beside `first`."""
    indent = first.cell_length
    for number, row in enumerate(text.wrap(max(8, width - indent))):
        yield line(first if not number else " " * indent, row)


def summary(found: Overview | None) -> Content:
    """All in one row."""
    if found is None:
        return line(("What they come to", STRONG))
    parts: list[Part] = [(f"{found.kept:,}", STRONG), f" of {counted(found.rows, 'row')} kept"]
    if found.truncated is not None:
        lost = f"{counted(found.answers_lost or 0, 'answer')} lost"
        parts += [f" · {found.truncated:,} cut · ", (lost, "bold $error" if found.answers_lost else "")]
    return line(*parts)


def _facts(view: DataView, found: Overview) -> Iterator[Content]:
    scan = view.rows.states.scan if view.rows.states else None
    bad = found.rows - found.kept
    yield _fact("rows", f"{found.rows:,}", f"{found.kept:,} kept" + (f", {bad:,} dropped" if bad else ""))
    for reason, rows in list(found.reasons.items())[:REASONS]:
        yield _fact("", f"{rows:,}", clean(reason))
    if others := sum(list(found.reasons.values())[REASONS:]):
        yield _fact("", f"{others:,}", "for other reasons; b lists them all")
    yield _fact("trained on", f"{found.train_rows:,}", f"{found.eval_rows:,} held out")
    if found.tokens is None:
        yield _fact("tokens", "–", "not counted: the training environment does it" if view.reader is None or
                    view.reader.status == "failed" else "being counted" if view.works else "t counts them")  # fmt: skip
    else:
        yield _fact("cut", f"{found.truncated:,}", f"longer than {view.limit:,} tokens",
                    "$warning" if found.truncated else "")  # fmt: skip
        yield _fact(
            "", f"{found.answers_lost:,}", "lose their whole answer", "bold $error" if found.answers_lost else ""
        )
        yield _fact(
            "learned",
            figures.format_count(found.learned_tokens),
            f"tokens of {figures.format_count(found.train_tokens)} an epoch",
        )
        if found.refused:
            yield _fact("refused", f"{found.refused:,}", "by the model's chat template", "bold $error")
    yield _fact("steps", f"{found.steps_per_epoch:,}", f"an epoch, {found.total_steps:,} in all")
    if found.seconds_per_epoch:
        yield _fact("time", duration(found.seconds_per_epoch), "an epoch on this card, at the speed of the last run")
    elif found.tokens:
        yield _fact("time", "–", "an epoch: known after a run here")
    alike = found.duplicates
    near = f"{alike.near:,} nearly" if alike.near_counted else "too many rows to look for near ones"
    yield _fact("duplicates", f"{alike.exact:,}", near, "$warning" if alike.exact or alike.near else "")
    if alike.overlap:
        yield _fact("overlap", f"{alike.overlap:,}", "held out, and trained on as well", "$warning")
    if scan and scan.reading.shape:
        yield _fact("shape", scan.reading.shape.replace("_", " and "), "")
        yield _fact("columns", "", "used " + clean(", ".join(scan.reading.used)))
        if scan.reading.ignored:
            yield _fact("", "", "ignored " + clean(", ".join(scan.reading.ignored)), "$warning")


def _bad_rows(view: DataView) -> Iterator[Content]:
    if not view.rows.states or not view.rows.states.scan.problems:
        return
    problems, source = view.rows.states.scan.problems, view.target.source
    yield Content("")
    yield line(("Bad rows", STRONG))
    for row, problem in list(problems.items())[:BAD_ROWS]:
        label = source.label(problem.file)
        where = f"{clean(label)}, line {problem.line:,}" if label else f"line {problem.line:,}"
        yield line((f"  {where:<14} ", MUTED), (clean(problem.message), "$error"), (f"   row {row + 1:,}", MUTED))
    more = view.rows.states.scan.rows - view.rows.states.scan.kept - BAD_ROWS
    yield line((f"  {f'and {more:,} more; ' if more > 0 else ''}b lists them", MUTED))


def _fact(name: str, value: str, words: str, style: str = "") -> Content:
    parts: list[Part] = [(f"{name:<{NAME_WIDTH}} ", MUTED)]
    if value:
        parts.append((f"{value:>9} ", style))
        parts.append((f" {words}", MUTED))
    else:
        parts.append((words, style))
    return line(*parts)
