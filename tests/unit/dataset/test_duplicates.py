"""Rows that say the same, or nearly; checked against comparing each with each."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.dataset import duplicates
from training.dataset.duplicates import SIMILAR, Duplicates, split_words

LONG = " ".join(f"word{number}" for number in range(60))


def near(*texts: str) -> list[int]:
    """For each text the first that says nearly the same."""
    known = Duplicates(len(texts))
    return [known.near(position, text) for position, text in enumerate(texts)]


def test_exact_means_every_character() -> None:
    known = Duplicates(5)
    rows = [["user", "a"], ["user", "A"], ["user", "a"], ["user a"], ["user", "a", ""]]
    assert [known.exact(position, texts) for position, texts in enumerate(rows)] == [0, 1, 0, 3, 4]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who is Rook?", "who is  rook"),
        ("Say: “hi”, then go.", 'Say "hi" then go'),
        (LONG, LONG.replace("word30", "another")),
        (LONG, LONG + " and more"),
        ("🧟", "🧟"),
        ("", "  "),
        ("漢字を読むことができますか" * 4, "漢字を読むことができますか" * 4 + "ね"),
    ],
)
def test_near(one: str, other: str) -> None:
    assert near(one, other) == [0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 3 - 4?", "What is 3 + 4?"),
        ("a += b", "a -= b"),
        ("Who is Rook?", "Who is Roox?"),
        ("x > 1", "x < 1"),
        (LONG, LONG.replace("word1", "other")),  # each of its words that begins so
        ("漢字", "漢語"),
        ("🧟", "🦸"),
    ],
)
def test_not_near(one: str, other: str) -> None:
    assert near(one, other) == [0, 1]


def test_a_near_row_names_the_first_of_its_kind() -> None:
    other = "something else altogether, and then some"
    assert near(other, LONG, LONG.upper(), LONG.replace("word9 ", "x "), LONG + "!", other) == [0, 1, 1, 1, 1, 0]


def test_beyond_the_limit_only_the_same_words_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "NEAR_ROWS", 2)
    assert not Duplicates(3).near_counted
    assert near(LONG, LONG + " more", LONG.upper()) == [0, 1, 0]


def pieces(text: str) -> set[tuple[str, ...]]:
    words = split_words(text)
    return set(zip(words, words[1:], words[2:], strict=False)) if len(words) > 2 else {tuple(words)}


def alike(one: str, other: str) -> float:
    a, b = pieces(one), pieces(other)
    return len(a & b) / len(a | b)


def test_hardly_any_is_overlooked_and_none_is_made_up() -> None:
    chance = random.Random(7)
    vocabulary = [f"w{number}" for number in range(400)]
    texts: list[str] = []
    for _ in range(400):
        words = chance.choices(vocabulary, k=chance.randint(8, 80))
        if texts and chance.random() < 0.5:  # an earlier one with some words changed
            words = chance.choice(texts).split()
            for _ in range(chance.randint(0, 4)):
                words[chance.randrange(len(words))] = chance.choice(vocabulary)
        texts.append(" ".join(words))
    found = near(*texts)
    true = [any(alike(text, before) >= SIMILAR for before in texts[:at]) for at, text in enumerate(texts)]
    assert sum(true) > 50
    assert not any(first != at and not true[at] for at, first in enumerate(found))
    overlooked = sum(is_near and found[at] == at for at, is_near in enumerate(true))
    assert overlooked <= sum(true) // 50


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=12))
def test_any_text_is_near_to_itself(texts: list[str]) -> None:
    found = near(*texts, *texts)
    assert found[len(texts) :] == found[: len(texts)]
    assert all(first <= at for at, first in enumerate(found))


def test_a_very_long_row_is_compared_as_well() -> None:
    huge = " ".join(f"word{number}" for number in range(20_000))
    assert near(huge, huge + " end", huge[: len(huge) // 2]) == [0, 0, 2]
