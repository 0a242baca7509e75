"""Compares the answers of an exported model with those of its run, and says what that shows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from codex_tui.base.text import pluralize
from training.contract.event_base import Count, Finite
from training.contract.export_messages import Exported, ProofQuestion, QuestionSource
from training.contract.judgement import Answer, Loss
from training.dataset.marks import compute_chrf

MAX_UNENDED_SHARE = 0.1  # of the answers that end in the run
MAX_LOSS_RISE = 0.5  # per token; rounding to 4 bits costs a tenth of that
SOURCES: dict[QuestionSource, str] = {
    "held-out": "held-out questions",
    "book": "questions of its book",
    "training": "training rows, which it has learned",
}


@dataclass(frozen=True)
class Comparison:
    """A question, and what the run and the exported model made of it."""

    question: ProofQuestion
    answer: Answer
    loss: Loss | None
    exported: Exported

    @property
    def has_same_prompt(self) -> bool:
        return self.exported.prompt_ids == self.question.prompt_ids

    @property
    def is_identical(self) -> bool:
        return self.exported.answer.text == self.answer.text

    @property
    def loses_its_end(self) -> bool:
        return self.answer.ended == "eos" != self.exported.answer.ended


class Sides(msgspec.Struct, frozen=True):
    """A figure of the run, and the same of the exported model."""

    run: Finite
    exported: Finite


class ProvenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    question: str
    same_prompt: bool
    identical: bool
    run: Answer
    exported: Answer
    run_loss: Finite | None = None
    exported_loss: Finite | None = None


class ProofReport(msgspec.Struct, frozen=True, kw_only=True):
    """How an exported model answers, beside its run. `problems` say in sentences what is wrong; without one, the proof
    holds. `as_trained` counts the prompts that a row of the training has, token by token. `chrf` compares the answers
    with the references, `loss` is that of the references per token."""

    version: Count = 1
    created: Finite
    run: str
    of: str
    source: QuestionSource
    max_new_tokens: Count
    questions: Count
    as_trained: Count
    same_prompts: Count
    ended: Sides
    identical: Count
    chrf: Sides | None
    loss: Sides | None
    problems: list[str]
    answers: list[ProvenAnswer]

    @property
    def headline(self) -> str:
        """Such as "29 of 30 answers identical at Q4_K_M, loss per token +0.02"."""
        rise = round(self.loss.exported - self.loss.run, 2) + 0.0 if self.loss else 0.0  # no minus before a zero
        loss = f", loss per token {rise:+.2f}" if self.loss else ""
        return f"{self.identical} of {pluralize(self.questions, 'answer')} identical at {self.of}{loss}"

    def summarise(self) -> dict[str, Any]:
        """Return the figures without the answers, for records and cards."""
        values = self.to_builtins()
        del values["answers"]
        return values | {"headline": self.headline}

    def to_builtins(self) -> dict[str, Any]:
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


def make_report(
    run: str, of: str, source: QuestionSource, max_new_tokens: int, pairs: Sequence[Comparison]
) -> ProofReport:
    measured = [(pair.loss, pair.exported.loss) for pair in pairs if pair.loss and pair.exported.loss]
    loss = Sides(_add([one for one, _ in measured]), _add([two for _, two in measured])) if measured else None
    referenced = [pair for pair in pairs if pair.question.question.reference]
    chrf = None
    if referenced:
        chrf = Sides(
            _average([compute_chrf(pair.answer.text, pair.question.question.reference) for pair in referenced]),
            _average(
                [compute_chrf(pair.exported.answer.text, pair.question.question.reference) for pair in referenced]
            ),
        )
    return ProofReport(
        created=time.time(),
        run=run,
        of=of,
        source=source,
        max_new_tokens=max_new_tokens,
        questions=len(pairs),
        as_trained=sum(pair.question.as_trained for pair in pairs),
        same_prompts=sum(pair.has_same_prompt for pair in pairs),
        ended=Sides(
            sum(pair.answer.ended == "eos" for pair in pairs),
            sum(pair.exported.answer.ended == "eos" for pair in pairs),
        ),
        identical=sum(pair.is_identical for pair in pairs),
        chrf=chrf,
        loss=loss,
        problems=list(_find_problems(pairs, loss)),
        answers=[_describe(pair) for pair in pairs],
    )


def _find_problems(pairs: Sequence[Comparison], loss: Sides | None) -> Iterator[str]:
    if other := sum(not pair.has_same_prompt for pair in pairs):
        yield (
            f"{other} of {pluralize(len(pairs), 'prompt')} differ from those of the run: the exported model has "
            "another chat template or another tokenizer."
        )
    ended = sum(pair.answer.ended == "eos" for pair in pairs)
    endless = sum(pair.loses_its_end for pair in pairs)
    if endless > MAX_UNENDED_SHARE * ended:
        yield (
            f"{endless} of {pluralize(ended, 'answer')} that end in the run do not end: the exported model may lack an "
            "end token."
        )
    if loss and loss.exported - loss.run > MAX_LOSS_RISE:
        yield (
            f"Its loss per token is {loss.exported:.2f}, and that of the run {loss.run:.2f}: these are not the weights "
            "of the run, or their number type is too coarse."
        )


def format_text(report: ProofReport) -> Iterator[str]:
    """The lines of the report for a person. Clean each before you print it: it may hold any text."""
    yield f"{report.headline}."
    yield f"Asked: {report.questions} {SOURCES[report.source]}, the likeliest answer to each."
    yield (
        f"Prompts: {report.same_prompts} of {report.questions} are the run's, token by token; {report.as_trained} are "
        "prompts of the training."
    )
    yield f"Ends: {report.ended.exported:.0f} answers end by themselves; in the run {report.ended.run:.0f}."
    if report.chrf:
        yield f"chrF with the right answers: {report.chrf.exported:.1f}; the run {report.chrf.run:.1f}."
    if report.loss:
        yield f"Loss per token: {report.loss.exported:.3f}; the run {report.loss.run:.3f}."
    yield from (f"! {problem}" for problem in report.problems)
    differing = [answer for answer in report.answers if not answer.identical]
    for answer in differing[:5]:
        yield ""
        yield f"{answer.id}: {answer.question}"
        yield f"  run:      {answer.run.text}"
        yield f"  exported: {answer.exported.text}"
    if len(differing) > 5:
        yield f"{len(differing) - 5} more answers differ: see the JSON file."


def format_summary(facts: dict[str, Any]) -> str:
    """Format the figures of a proof, as `ProofReport.summarise` returns them, for a card. They have no text of the
    dataset."""
    try:
        report = msgspec.convert(
            {"answers": [], **{key: facts[key] for key in facts if key != "headline"}}, ProofReport
        )
    except msgspec.ValidationError:
        return ""
    return "\n".join(f"- {line}" for line in format_text(report))


def _describe(pair: Comparison) -> ProvenAnswer:
    return ProvenAnswer(
        id=pair.question.question.id,
        question=pair.question.question.text,
        same_prompt=pair.has_same_prompt,
        identical=pair.is_identical,
        run=pair.answer,
        exported=pair.exported.answer,
        run_loss=pair.loss.per_token if pair.loss else None,
        exported_loss=pair.exported.loss.per_token if pair.exported.loss else None,
    )


def _add(losses: Sequence[Loss]) -> float:
    return sum(loss.total for loss in losses) / max(1, sum(loss.tokens for loss in losses))


def _average(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
