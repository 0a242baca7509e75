"""Adds up the marks of the questions: of all, of those that were learned by heart or not, and of each tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from codex_tui.judge.statistics import compare, compute_perplexity
from training.contract.judgement import Answer, Difference, Group, Judged, JudgedQuestion, Level, Loss, Question
from training.dataset.marks import compute_chrf, is_exact, mark_all

EQUAL_CHRF, EQUAL_LOSS = 1e-9, 1e-6
"""Scores that differ by less are a tie."""


def judge_answers(
    questions: Sequence[Question], answers: Sequence[Answer], losses: Sequence[Loss | None]
) -> tuple[list[Judged], list[str]]:
    """Mark the answers of one model. Also returns the ids of the questions whose regular expressions are too slow."""
    passed, slow = mark_all([(question, answer.text) for question, answer in zip(questions, answers, strict=True)])
    judged = [
        Judged(
            answer=answer,
            passed=passes,
            exact=is_exact(answer.text, question.reference) if question.reference else None,
            chrf=compute_chrf(answer.text, question.reference) if question.reference else None,
            loss=loss,
        )
        for question, answer, loss, passes in zip(questions, answers, losses, passed, strict=True)
    ]
    return judged, slow


def make_group(judged: Sequence[JudgedQuestion]) -> Group:
    return Group(
        questions=len(judged),
        adapter=_make_level([one.adapter for one in judged]),
        other=_make_level([one.other for one in judged]),
        passes=_compare(judged, lambda one: one.passed, is_share=True),
        chrf=_compare(judged, lambda one: one.chrf),
        loss=_compare_losses(judged),
    )


def make_tag_groups(judged: Sequence[JudgedQuestion]) -> dict[str, Group]:
    """The group of each tag, in the order in which the tags first appear."""
    tags = dict.fromkeys(tag for one in judged for tag in one.question.tags)
    return {tag: make_group([one for one in judged if tag in one.question.tags]) for tag in tags}


def _make_level(judged: Sequence[Judged]) -> Level:
    chrfs = [one.chrf for one in judged if one.chrf is not None]
    losses = [one.loss for one in judged if one.loss is not None and one.loss.tokens]
    loss = sum(one.total for one in losses) / sum(one.tokens for one in losses) if losses else None
    return Level(
        passes=sum(one.passed is True for one in judged),
        marked=sum(one.passed is not None for one in judged),
        exact=sum(one.exact is True for one in judged),
        referenced=sum(one.exact is not None for one in judged),
        ended=sum(one.answer.ended == "eos" for one in judged),
        chrf=sum(chrfs) / len(chrfs) if chrfs else None,
        loss=loss,
        perplexity=None if loss is None else compute_perplexity(loss),
    )


def _compare(
    judged: Sequence[JudgedQuestion], read: Callable[[Judged], float | None], *, is_share: bool = False
) -> Difference | None:
    pairs = [(read(one.adapter), read(one.other)) for one in judged]
    differences = [float(a) - float(b) for a, b in pairs if a is not None and b is not None]
    better = [_sign(value, EQUAL_CHRF) for value in differences]
    return compare(differences, better, is_share=is_share) if differences else None


def _compare_losses(judged: Sequence[JudgedQuestion]) -> Difference | None:
    """Compare the losses per token, each weighted by its tokens: the difference of the two levels."""
    pairs = [(one.adapter.loss, one.other.loss) for one in judged]
    both = [(a, b) for a, b in pairs if a is not None and b is not None and a.tokens and b.tokens]
    if not both:
        return None
    differences = [a.per_token - b.per_token for a, b in both]
    return compare(differences, [-_sign(value, EQUAL_LOSS) for value in differences], [a.tokens for a, _ in both])


def _sign(value: float, equal: float) -> int:
    return 0 if abs(value) <= equal else 1 if value > 0 else -1
