"""Questions that stand in the training rows are marked, whatever their case, punctuation and one other word."""

from __future__ import annotations

import random
from typing import Any

from training.contract.judgement import Question
from training.dataset.known import mark_known
from training.dataset.records import Record
from training.dataset.shapes import Row, read_row


def ask(*questions: str) -> list[Question]:
    return [Question(id=text, messages=[{"role": "user", "content": text}]) for text in questions]


def row(**values: Any) -> Row:
    return read_row(Record(0, 1, values))


def find_known(questions: list[Question], *rows: Row) -> list[str]:
    return [question.known for question in mark_known(questions, rows)]


def test_exact_near_and_unseen() -> None:
    rows = [
        row(instruction="Which weapon should a new player upgrade first?", response="x"),
        row(text="The whole text of a row."),
    ]
    questions = ask(
        "which weapon should a NEW player upgrade first",
        "Which weapon should a new player upgrade the first?",
        "What do I put my first upgrades into?",
        "the whole text of a row",
    )
    assert find_known(questions, *rows) == ["exact", "near", "", "exact"]


def test_every_learned_answer_of_a_conversation_has_its_question() -> None:
    turns = [
        {"role": "user", "content": "Hi there"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Which weapon?"},
        {"role": "assistant", "content": "The Scattergun"},
    ]
    assert find_known(ask("Hi there", "Hi there\nWhich weapon?", "Which weapon?"), row(messages=turns)) == [
        "exact", "exact", ""
    ]  # fmt: skip


def test_similar_questions_are_found_as_by_comparing_all() -> None:
    chance, words = random.Random(5), [f"w{number}" for number in range(30)]
    questions = ask(*(" ".join(chance.sample(words, chance.randint(3, 12))) for _ in range(60)))
    texts = [" ".join(chance.sample(words, chance.randint(3, 12))) for _ in range(200)]
    for question in questions[:30]:
        changed = question.text.split()
        changed[0] = "other"
        texts.append(" ".join(changed))
    rows = [row(instruction=text, response="x") for text in texts]
    sets = [frozenset(text.split()) for text in texts]
    expected = [
        any(len(own & other) >= 0.8 * len(own | other) for other in sets)
        for own in (frozenset(question.text.split()) for question in questions)
    ]
    assert [bool(known) for known in find_known(questions, *rows)] == expected
    assert any(expected)
    assert not all(expected)
