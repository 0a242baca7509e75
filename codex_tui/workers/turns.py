"""The turns of a conversation: questions, and the answers of one model or of base and adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(eq=False)
class Turn:
    """One question or one answer. `text` is not yet cleaned for the terminal.

    `by` names the model that answers: "base", "adapter" or "checkpoint 200". `ended` is "" while the answer grows.
    `prompt_tokens` and `left_out` are those of AnswerBegin. `sampling` says how the tokens were chosen.
    `of_newer_adapter` says that the run has saved the adapter again since the last answer of its adapter.

    `other` is the answer of the other model to the same question: of the base model beside that of the adapter, or the
    other way round. Later questions follow the first answer.
    """

    role: Literal["user", "assistant"]
    text: str
    by: str = ""
    ended: str = ""
    tokens: int = 0
    seconds: float = 0.0
    prompt_tokens: int = 0
    left_out: int = 0
    sampling: str = ""
    of_newer_adapter: bool = False
    with_adapter: bool = False
    other: Turn | None = None

    @property
    def answers(self) -> list[Turn]:
        """This answer, and that of the other model if it was asked."""
        return [self, self.other] if self.other else [self]

    @property
    def open_answer(self) -> Turn | None:
        """The first answer that has not ended."""
        return next((answer for answer in self.answers if not answer.ended), None)


class WaitingQuestion(NamedTuple):
    """A question that is asked after the current answer, of one model or `of_both`."""

    text: str
    of_both: bool = False
