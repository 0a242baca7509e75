"""Draws a judgement: its conclusions, its table, and what is to be said about its files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from textual.content import Content

from codex_tui.base.text import clean
from codex_tui.judge.conclusions import describe_proof, describe_verdicts
from codex_tui.judge.results import Shelf
from codex_tui.judge.table import GAP, make_table
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, Part, line
from training.contract.judgement import Judgement
from training.contract.model_card import hide_home

WELCOME = (
    "A judgement asks the adapter and its base model the same questions, and says what can be concluded: how many "
    "answers pass, how close they are to the right ones (chrF), and the loss per token, each with a 95 % interval.",
    "The questions are the rows that the run held out, or those of a book: a JSONL file with questions and what the "
    "answers must contain. It reports apart what was learned by heart.",
)
OUTDATED = "The run has trained since: this judges an earlier adapter. n judges the present one."
_TAG = re.compile(r"\*([^*]+)\*")


def draw_empty(run: str, *, is_judging: bool) -> Iterator[Content]:
    """Draw the text for a run without a judgement, and the key that begins one unless one has begun."""
    yield line((f"{clean(run)} has not been judged yet.", STRONG))
    for text in WELCOME:
        yield Content("")
        yield line((text, MUTED))
    if not is_judging:
        yield Content("")
        yield line(("n", f"bold {ACCENT}"), (" starts a judgement", MUTED))


def draw_result(shelf: Shelf, place: int, width: int) -> Iterator[Content]:
    """Draw the conclusions, the table and the notes of the judgement at `place`."""
    judgement = shelf.judgements[place]
    if shelf.outdated[place]:
        yield from draw_problems((OUTDATED,))
    for number, sentence in enumerate(judgement.conclusions):
        yield _draw_conclusion(sentence, "" if number else STRONG)
    yield Content("")
    yield from _draw_table(judgement, width)
    verdicts = describe_verdicts(judgement.judge_model) if judgement.judge_model else ()
    notes = [*judgement.notes, *verdicts, describe_proof(judgement.proof)]
    yield Content("")
    yield from (line((clean(note), MUTED)) for note in notes)
    yield from draw_problems(shelf.problems)


def draw_problems(problems: tuple[str, ...]) -> Iterator[Content]:
    yield from (line(("! ", "bold $warning"), (clean(problem), "$warning")) for problem in problems)


def _draw_conclusion(sentence: str, style: str) -> Content:
    """Tags stand between asterisks."""
    parts: list[Part] = [("• ", ACCENT)]
    for place, text in enumerate(_TAG.split(clean(sentence))):
        parts.append((text, ACCENT if place % 2 else style))
    return line(*parts)


def _draw_table(judgement: Judgement, width: int) -> Iterator[Content]:
    for place, cells in enumerate(make_table(judgement, width)):
        row = (" " * GAP).join(clean(cell) for cell in cells)
        yield line((row, MUTED if not place else STRONG if place == 1 else "")).truncate(width)


def describe_title(shelf: Shelf, place: int) -> Content:
    """Describe the shown judgement, for the title: what was compared, and with which questions."""
    judgement = shelf.judgements[place]
    against = clean(judgement.against.name)
    book = clean(hide_home(judgement.book.name))
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(0, min(judgement.created, 4e9))))
    count = len(shelf.judgements)
    which = f"   {place + 1} of {count}" if count > 1 else ""
    return line(f"{clean(judgement.run)} against {against}", (f"   {book}   {when}{which}", MUTED))
