"""The questions of a judgement: those of a book, or those that the held-out rows of a run ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.contract.failures import TrainingFailure
from training.contract.judge_messages import QuestionList
from training.contract.judgement import Question
from training.dataset.book import MAX_QUESTIONS
from training.dataset.known import mark_known
from training.dataset.rows import Rows
from training.dataset.shapes import Row
from training.dataset.split import choose_eval_rows
from training.job.job import Job, describe_dataset_change, read_all_rows, read_job

NO_HELD_OUT = "{} held out no rows, so there is nothing to ask."
USE_BOOK = "Give questions with --book FILE, or train with dataset.eval_fraction above 0."


@dataclass(frozen=True)
class SplitRows:
    """The rows of a run's dataset as the run divided them."""

    train: list[Row]
    held_out: list[Row]


def split_rows(job: Job, rows: Rows) -> SplitRows:
    held = choose_eval_rows(len(rows.rows), job.profile, rows.validation)
    if rows.validation:  # `read_all_rows` keeps only the evaluation rows of a validation split
        held = set(range(len(rows.rows) - rows.validation, len(rows.rows)))
    train = [row for place, row in enumerate(rows.rows) if place not in held]
    return SplitRows(train, [row for place, row in enumerate(rows.rows) if place in held])


def read_split_rows(job: Job) -> SplitRows:
    """Read the dataset of a run, which must be the one that the run was trained on. Raises TrainingFailure."""
    rows = read_all_rows(job)
    if changed := describe_dataset_change(job, rows):
        hint = "Put the old data back: nobody can say any more which rows the run was trained on."
        raise TrainingFailure("bad_data", changed, hint)
    return split_rows(job, rows)


def list_held_out(job: Job, other: Path | None) -> QuestionList:
    """Make questions from the rows that the run held out. Raises TrainingFailure."""
    split = read_split_rows(job)
    made = [question for row in split.held_out if (question := make_question(job, row))][:MAX_QUESTIONS]
    if not made:
        raise TrainingFailure("bad_data", NO_HELD_OUT.format(job.config.name or "The run"), USE_BOOK)
    questions = _mark_known_to_other(mark_known(made, split.train), other)
    return QuestionList(questions=questions, skipped=len(split.held_out) - len(made))


def check_book(job: Job, questions: list[Question], other: Path | None) -> QuestionList:
    """Find which questions of a book stand in the training rows. The rows may be gone: then nobody knows."""
    try:
        checked = mark_known(questions, read_split_rows(job).train)
        return QuestionList(questions=_mark_known_to_other(checked, other))
    except TrainingFailure as failure:
        return QuestionList(questions=questions, problem=failure.message)


def _mark_known_to_other(questions: list[Question], other: Path | None) -> list[Question]:
    return questions if other is None else mark_known(questions, read_split_rows(read_job(other)).train)


def make_question(job: Job, row: Row) -> Question | None:
    """Make a question from a held-out row: its last answer is the reference. Of a plain text, the second half is. None
    if the answer is a tool call, or if the text can't be divided."""
    file = job.source.label(row.file)
    name = f"{file} line {row.line}" if file else f"line {row.line}"
    if row.text is not None:
        begin, rest = _halve(row.text)
        if not (begin and rest):
            return None
        messages = [{"role": "user", "content": begin}]
        return Question(id=name, messages=messages, reference=rest, line=row.line, file=file)
    if not row.answers:
        return None
    answer = row.answers[-1]
    reference = row.messages[answer]["content"]
    if not reference.strip() or not row.messages[:answer]:
        return None
    messages = row.messages[:answer]
    return Question(id=name, messages=messages, reference=reference, tools=row.tools, line=row.line, file=file)


def _halve(text: str) -> tuple[str, str]:
    """Divide a text at the space that is nearest to its middle."""
    middle = len(text) // 2
    places = [place for place in (text.rfind(" ", 0, middle), text.find(" ", middle)) if place > 0]
    place = min(places, key=lambda place: abs(place - middle), default=0)
    return text[:place], text[place:]


def iterate_rows(split: SplitRows) -> Iterator[tuple[Row, bool]]:
    """Yield each row, and whether it is held out."""
    yield from ((row, False) for row in split.train)
    yield from ((row, True) for row in split.held_out)
