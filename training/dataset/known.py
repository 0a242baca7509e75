"""Finds the questions that stand in the training rows, exactly or nearly: their answers may be learned by heart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import ceil

from msgspec.structs import replace

from training.contract.judgement import Known, Question
from training.dataset.duplicates import split_words
from training.dataset.shapes import Row

SIMILAR = 0.8  # the share of words that two nearly equal questions have in common


def mark_known(questions: list[Question], rows: Iterable[Row]) -> list[Question]:
    """Return `questions` with `known` set, for the training rows `rows`."""
    finder = _Finder([frozenset(split_words(question.text)) for question in questions])
    exact: dict[tuple[str, ...], list[int]] = {}
    for place, question in enumerate(questions):
        exact.setdefault(tuple(split_words(question.text)), []).append(place)
    known: dict[int, Known] = {}
    for text in (text for row in rows for text in _list_questions(row)):
        words = split_words(text)
        known.update(dict.fromkeys(exact.get(tuple(words), ()), "exact"))
        for place in finder.find(frozenset(words)):
            known.setdefault(place, "near")
    return [replace(question, known=known.get(place) or question.known) for place, question in enumerate(questions)]


def _list_questions(row: Row) -> Iterator[str]:
    """List what the user says before each answer that is learned."""
    if row.text is not None:
        yield row.text
    for answer in row.answers:
        yield "\n".join(turn["content"] for turn in row.messages[:answer] if turn["role"] == "user")


class _Finder:
    """Finds the sets that share 80 % of their words with another set.

    Such sets share at least one of their rarest words: for ten words, one of the rarest three. So only a few are
    compared, however many rows there are.
    """

    def __init__(self, questions: list[frozenset[str]]) -> None:
        self._questions = questions
        self._counts = Counter(word for words in questions for word in words)
        self._by_word: dict[str, list[int]] = {}
        for place, words in enumerate(questions):
            for word in self._list_rarest(words):
                self._by_word.setdefault(word, []).append(place)

    def find(self, words: frozenset[str]) -> Iterator[int]:
        candidates = {place for word in self._list_rarest(words) for place in self._by_word.get(word, ())}
        for place in candidates:
            other = self._questions[place]
            if len(words & other) >= SIMILAR * len(words | other):
                yield place

    def _list_rarest(self, words: frozenset[str]) -> list[str]:
        by_rarity = sorted(words, key=lambda word: (self._counts[word], word))
        return by_rarity[: len(words) - ceil(SIMILAR * len(words)) + 1]
