"""Draws a question in the list: its mark, its text, and both answers, beside each other where there is room."""

from __future__ import annotations

from textual.content import Content

from codex_tui.base.text import clean, shorten
from codex_tui.judge.results import KNOWN, Verdict, compare_answers
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line, spread
from codex_tui.ui.kit.side_by_side import MIN_SIDE_BY_SIDE, find_column_width, join_columns
from codex_tui.ui.kit.text_search import highlight_matches
from training.contract.judgement import BASE, Judged, JudgedQuestion, Judgement

LINES = 3
"""The lines of an entry: the question, and two for the answers."""
MAX_SIDE_NAME = 16
MARK_WIDTH = 8  # cells of "✓ pass" or "chrF 100", so that the answers begin below each other
MAX_ANSWER = 1000  # characters that can't fit into the lines of an entry
VERDICTS: dict[Verdict, tuple[str, str]] = {
    "better": ("▲ better", "$success"),
    "worse": ("▼ worse ", "$error"),
    "same": ("= same  ", MUTED),
}


def name_sides(judgement: Judgement) -> tuple[str, str]:
    """Return the clean names of the adapter and of the other side."""
    name = judgement.against.name
    return "adapter", BASE if name == BASE else shorten(clean(name), MAX_SIDE_NAME)


def draw_verdict(judged: JudgedQuestion) -> tuple[str, str]:
    text, style = VERDICTS[compare_answers(judged)]
    return text, f"bold {style}" if style != MUTED else style


def draw_mark(judged: Judged) -> tuple[str, str]:
    """Draw whether an answer passes; where there are no conditions, whether it is the reference."""
    if judged.passed is not None:
        return ("✓ pass", "$success") if judged.passed else ("✗ fail", "$error")
    if judged.exact:
        return "✓ exact", "$success"
    return ("" if judged.chrf is None else f"chrF {judged.chrf:.0f}"), MUTED


def describe_groups(judged: JudgedQuestion) -> str:
    """The tags of a question, and whether it was trained."""
    tags = [clean(tag) for tag in judged.question.tags]
    return " · ".join([*tags, *([KNOWN] if judged.question.known else [])])


def draw_entry(judged: JudgedQuestion, names: tuple[str, str], needle: str, width: int) -> list[Content]:
    adapter, other = names
    question = clean(judged.question.text[:MAX_ANSWER])
    left = line(draw_verdict(judged), "  ", (question, STRONG))
    known = KNOWN if judged.question.known else ""
    about = line((describe_groups(judged), ACCENT))
    if left.cell_length + about.cell_length + 2 > width:  # the question is more important than its tags
        about = line((known, ACCENT))
    room = width - about.cell_length - 2 * bool(about)
    first = spread(left.truncate(room, ellipsis=True), about, width)
    rows = [first, *_draw_answers(judged, (other, adapter), width)]
    return [highlight_matches(row, needle)[0] for row in rows]


def _draw_answers(judged: JudgedQuestion, names: tuple[str, str], width: int) -> list[Content]:
    sides = [
        _draw_answer(name, side, max(map(len, names)))
        for name, side in zip(names, (judged.other, judged.adapter), strict=True)
    ]
    if width < MIN_SIDE_BY_SIDE:
        return [side.truncate(width, ellipsis=True) for side in sides]
    column = find_column_width(width)
    return [*join_columns(column, *(_wrap_short(side, column) for side in sides))]


def _draw_answer(name: str, judged: Judged, name_width: int) -> Content:
    text = clean(judged.answer.text.strip()[:MAX_ANSWER])
    mark, style = draw_mark(judged)
    return line(
        (f"{name:<{name_width}} ", MUTED),
        (f"{mark:<{MARK_WIDTH}}", style),
        " ",
        text or line(("(empty answer)", MUTED)),
    )


def _wrap_short(text: Content, width: int) -> list[Content]:
    """Wrap to the lines that an entry has for an answer."""
    rows = text.wrap(width)
    if len(rows) < LINES:
        return rows
    rest = Content(" ").join(rows[LINES - 2 :])
    return [*rows[: LINES - 2], rest.truncate(width, ellipsis=True)]
