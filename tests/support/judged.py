"""Judgements without a model: questions, and what both sides made of them."""

from __future__ import annotations

from collections.abc import Sequence

from codex_tui.judge.groups import make_group, make_tag_groups
from training.contract.judgement import (
    BASE,
    Answer,
    Book,
    Condition,
    Judged,
    JudgedQuestion,
    Judgement,
    Known,
    Loss,
    Model,
    Proof,
    Question,
)


def make_question(place: int, tag: str = "", known: Known = "") -> Question:
    return Question(
        id=f"q{place}",
        messages=[{"role": "user", "content": f"Question {place}?"}],
        must=(Condition(any=("right",)),),
        reference="right",
        tags=(tag,) if tag else (),
        known=known,
    )


def make_judged(passed: bool | None, loss: float = 1.0) -> Judged:
    text = "right" if passed else "wrong"
    return Judged(
        answer=Answer(text=text, tokens=2, ended="eos"),
        passed=passed,
        exact=bool(passed),
        chrf=100.0 if passed else 0.0,
        loss=Loss(total=2 * loss, tokens=2),
    )


def judge_pairs(
    pairs: Sequence[tuple[bool | None, bool | None]], tag: str = "", known: Known = ""
) -> list[JudgedQuestion]:
    """One question for each pair: whether the adapter passes, and whether base does."""
    return [
        JudgedQuestion(
            question=make_question(place, tag, known),
            adapter=make_judged(adapter, 0.5 + place / 100),
            other=make_judged(other, 3.0 + place / 50),
        )
        for place, (adapter, other) in enumerate(pairs)
    ]


def make_judgement(judged: list[JudgedQuestion], against: str = BASE, on: float = 5.0) -> Judgement:
    known = [one for one in judged if one.question.known]
    unseen = [one for one in judged if not one.question.known]
    return Judgement(
        name="book",
        created=1.0,
        run="run-1",
        adapter=Model(name="run-1", sha256="a"),
        against=Model(name=against),
        base="demo:llama",
        book=Book(name="/books/book.jsonl"),
        max_new_tokens=64,
        proof=Proof(off=0.0 if against == BASE else None, on=on),
        overall=make_group(judged),
        known=make_group(known) if known else None,
        unseen=make_group(unseen) if unseen else None,
        tags=make_tag_groups(judged),
        answers=judged,
    )
