"""The messages between the app and the judge worker. See `training.contract.messages`.

The app sends ListQuestions, AskModels and MeasureRows. The worker answers ListQuestions with QuestionList. It answers
AskModels with Loading while it loads, ModelsReady, an Answered for each answer, a Measured for each reference, Proved
and JudgeEnd. It answers MeasureRows with a RowMeasured for each row, Proved and JudgeEnd; with JudgeEnd alone if
no row is left.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from training.contract.event_base import Count
from training.contract.judgement import Answer, Loss, Proof, Question
from training.contract.messages import Loading, Message, NewTokens, WorkerError, WorkerProtocol

Side = Literal["adapter", "other"]
"""The adapter of the run, or what it is compared with."""


class Work(msgspec.Struct):
    """The questions, by their place in the list, that one side answers, and those whose references it measures."""

    answers: list[Count] = []
    losses: list[Count] = []


class ListQuestions(Message, tag="list"):
    """Asks which of `questions` stand in the training rows of the run or of the run at the path `other`. None: makes
    the questions from the rows that the run held out."""

    questions: list[Question] | None = None
    other: str | None = None


class AskModels(Message, tag="ask"):
    """Asks the run's adapter and the other side: the adapter of the run at the path `other`, or the base model."""

    questions: list[Question]
    adapter_work: Work
    other_work: Work
    max_new_tokens: NewTokens
    other: str | None = None


class MeasureRows(Message, tag="rows"):
    """Asks for the losses of the rows from the position `first` on, of the adapter and of the base model."""

    first: Count = 0


class QuestionList(Message, tag="questions"):
    """The questions, each with `known` set. `skipped` counts the held-out rows that make no question. `problem` says
    why nobody knows which questions stand in the training rows; "" if that is known."""

    questions: list[Question]
    skipped: Count = 0
    problem: str = ""


class ModelsReady(Message, tag="ready"):
    more_follows = True
    device: str


class Answered(Message, tag="answered"):
    more_follows = True
    side: Side
    index: Count
    answer: Answer


class Measured(Message, tag="measured"):
    more_follows = True
    side: Side
    index: Count
    loss: Loss


class RowLosses(Message, tag="row"):
    """The losses of a row. `position` counts the rows: first those of the training, then the held-out ones. `question`
    and `answer` are its last ones, cut to a few hundred characters. `total` counts all rows. `file` is a name for a
    person, `file_number` counts the files of the dataset."""

    more_follows = True
    position: Count
    total: Count
    file: str
    line: Count
    held_out: bool
    question: str
    answer: str
    adapter: Loss
    base: Loss
    file_number: Count = 0


class RowMeasured(RowLosses, tag="row"):
    """A row with the loss of each learned token, in hundredths: one list for each sequence of tokens that the row
    becomes. The list is empty for a sequence that is not learned, because it is too long."""

    adapter_tokens: list[list[Count]] = []
    base_tokens: list[list[Count]] = []


class Proved(Message, tag="proof"):
    more_follows = True
    proof: Proof


class JudgeEnd(Message, tag="end"):
    """Everything was answered."""


JudgeRequest = ListQuestions | AskModels | MeasureRows
JudgeAnswer = Loading | QuestionList | ModelsReady | Answered | Measured | RowMeasured | Proved | JudgeEnd | WorkerError

JUDGE: WorkerProtocol[JudgeRequest, JudgeAnswer] = WorkerProtocol("judge", JudgeRequest, JudgeAnswer)
