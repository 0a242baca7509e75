"""A judgement: how the adapter of a run answers the questions of a book, compared with its base model or with the
adapter of another run. The judge worker and the app share these types. `judgement_file.py` beside this reads and writes
them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from training.contract.config import RowForm
from training.contract.event_base import Count, Finite
from training.contract.verdicts import JudgeModelResult, Verdict

VERSION = 1
BASE = "base"
"""The name of the base model as the other side of a comparison."""
DEFAULT_NEW_TOKENS, MIN_NEW_TOKENS = 256, 64

Known = Literal["", "exact", "near"]
EndReason = Literal["eos", "length", "context"]


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer must contain, or must not: one of the texts `any`, or a match of the regular expression `re`."""

    any: tuple[str, ...] = ()
    re: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question of a book, or one that was made from a row.

    `messages` end with the user's message. `line` and `file` say where it stands. `known` says whether it also stands
    in the training rows, exactly or nearly.
    """

    id: str
    messages: list[dict[str, Any]]
    must: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()
    reference: str = ""
    tags: tuple[str, ...] = ()
    tools: list[dict[str, Any]] | None = None
    line: Count = 0
    file: str = ""
    known: Known = ""

    @property
    def text(self) -> str:
        """The user's messages, for a person and for comparisons."""
        return "\n".join(str(turn.get("content") or "") for turn in self.messages if turn.get("role") == "user")

    @property
    def has_marks(self) -> bool:
        return bool(self.must or self.must_not)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answered. "length" and "context" say that the answer did not end by itself."""

    text: str
    tokens: Count
    ended: EndReason


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of the losses of all learned tokens of a text, with the end token."""

    total: Finite
    tokens: Count

    @property
    def per_token(self) -> float:
        return self.total / max(1, self.tokens)


class Judged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model made of a question. A value is None where the question does not ask for it: `passed` needs `must`
    or `must_not`, the others need a reference."""

    answer: Answer
    passed: bool | None = None
    exact: bool | None = None
    chrf: Finite | None = None
    loss: Loss | None = None


class JudgedQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question, what both models made of it, and which answer the judge model prefers, if it was asked."""

    question: Question
    adapter: Judged
    other: Judged
    verdict: Verdict | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that answered: "base", or the adapter of the run `name`. `step` is that of its checkpoint, None for the
    run's own adapter. `sha256` is that of the adapter's weights."""

    name: str
    step: Count | None = None
    sha256: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Shows that the right weights answered, by the logits after a question.

    `off` is the largest difference between the base model before any adapter was attached, and the model with the
    adapter switched off, just before it answered; None if no base model answered. `on` is the largest difference
    between the two models that are compared: 0 if the adapter changes nothing.
    """

    off: Finite | None
    on: Finite


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """How good one model is over a group of questions. `marked` counts the questions that can pass, `referenced` those
    with a reference. `ended` counts the answers that ended by themselves."""

    passes: Count
    marked: Count
    exact: Count
    referenced: Count
    ended: Count
    chrf: Finite | None = None
    loss: Finite | None = None  # per token
    perplexity: Finite | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The adapter less the other model. `low` and `high` enclose the true difference with a probability of 95 %. `wins`
    counts the questions that the adapter did better; `p` is that of the exact sign test."""

    estimate: Finite
    low: Finite
    high: Finite
    wins: Count
    losses: Count
    ties: Count
    p: Finite


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """All questions, or those of one tag. A difference is None where no question asks for it."""

    questions: Count
    adapter: Level
    other: Level
    passes: Difference | None = None
    chrf: Difference | None = None
    loss: Difference | None = None

    @property
    def main(self) -> Difference | None:
        """The difference that decides who wins: the passes if the questions have marks, else chrF."""
        return self.passes or self.chrf


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """Where the questions came from: the path of a file, or a name such as "held-out"."""

    name: str
    sha256: str = ""


class JudgementHead(msgspec.Struct, kw_only=True):
    """The result without the answers, for lists. `known` are the questions that stand in the training rows, `unseen`
    the others."""

    version: int = VERSION
    name: str
    created: float
    run: str
    adapter: Model
    against: Model
    base: str
    book: Book
    max_new_tokens: Count
    system_prompt: str | None = None
    device: str = ""
    proof: Proof
    overall: Group
    known: Group | None = None
    unseen: Group | None = None
    tags: dict[str, Group] = {}
    judge_model: JudgeModelResult | None = None
    conclusions: list[str] = []
    notes: list[str] = []


class Judgement(JudgementHead, kw_only=True):
    """The whole result."""

    answers: list[JudgedQuestion] = []


def choose_max_new_tokens(form: RowForm) -> int:
    """Choose the length limit of an answer: no answer of the training was longer than its longest row."""
    return max(MIN_NEW_TOKENS, min(DEFAULT_NEW_TOKENS, form.max_tokens or DEFAULT_NEW_TOKENS))


def describe_levels(group: Group) -> str:
    """Describe both sides in one line: "passes 0 → 26 of 40, chrF 7 → 68, loss 6.95 → 0.45"."""
    adapter, other = group.adapter, group.other
    parts = [f"passes {other.passes:,} → {adapter.passes:,} of {adapter.marked:,}"] if adapter.marked else []
    if adapter.chrf is not None and other.chrf is not None:
        parts.append(f"chrF {other.chrf:.0f} → {adapter.chrf:.0f}")
    if adapter.loss is not None and other.loss is not None:
        parts.append(f"loss {other.loss:.2f} → {adapter.loss:.2f}")
    return ", ".join(parts)
