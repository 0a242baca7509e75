"""Marks an answer: whether it passes a question's conditions, equals the reference, and how similar it is to it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from training.contract.judgement import Condition, Question
from training.dataset.patterns import find_all, search_all

ORDER, BETA = 6, 2  # of chrF: n-grams of up to 6 characters, and recall counts twice as much as precision


def mark_all(pairs: Sequence[tuple[Question, str]]) -> tuple[list[bool | None], list[str]]:
    """Tell for each question and answer whether the answer passes; None if the question has no conditions.

    Returns the ids of the questions whose regular expressions need too long, too. Their answers do not pass.
    """
    searches: dict[tuple[str, str], bool | None] = {}
    for question, answer in pairs:
        for condition in (*question.must, *question.must_not):
            if condition.re:
                searches[condition.re, fold(answer)] = None
    searches.update(zip(searches, search_all(list(searches)), strict=True))
    passed: list[bool | None] = []
    slow: dict[str, None] = {}
    for question, answer in pairs:
        text = fold(answer)
        must = [_holds(condition, text, searches) for condition in question.must]
        must_not = [_holds(condition, text, searches) for condition in question.must_not]
        if None in must or None in must_not:
            slow[question.id] = None
        # A condition that can't be decided fails, whichever kind it is.
        passes = all(must) and all(holds is False for holds in must_not)
        passed.append(passes if question.has_marks else None)
    return passed, list(slow)


@dataclass(frozen=True)
class Checked:
    """A condition and an answer. `passes` is None if its regular expression needs too long. `found` are the texts of
    the condition that stand in the answer, or what the regular expression matches."""

    kind: str  # "must" or "must_not"
    condition: Condition
    passes: bool | None
    found: tuple[str, ...]


def check_conditions(question: Question, answer: str) -> list[Checked]:
    """Check each condition of `question`, first those of `must`."""
    text = fold(answer)
    conditions = [("must", one) for one in question.must] + [("must_not", one) for one in question.must_not]
    patterns = [condition.re for _, condition in conditions if condition.re]
    matches = dict(zip(patterns, find_all([(pattern, text) for pattern in patterns]), strict=True))
    checked = []
    for kind, condition in conditions:
        found: tuple[str, ...] | None = tuple(part for part in condition.any if _contains(text, fold(part)))
        if condition.re:
            match = matches[condition.re]
            found = None if match.matches is None else (match.text,) if match.matches else ()
        checked.append(
            Checked(kind, condition, None if found is None else bool(found) == (kind == "must"), found or ())
        )
    return checked


def find_failed(question: Question, answer: str) -> list[str]:
    """List the names of the conditions that `answer` fails, such as "must 2"."""
    failed = []
    checked = check_conditions(question, answer)
    for kind in ("must", "must_not"):
        of_kind = [check for check in checked if check.kind == kind]
        for place, check in enumerate(of_kind, 1):
            if not check.passes:
                failed.append(f"{kind} {place}" if len(of_kind) > 1 else kind)
    return failed


def fold(text: str) -> str:
    """Remove differences that do not matter: the forms of a character, case, and the kinds of spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def _holds(condition: Condition, text: str, searches: dict[tuple[str, str], bool | None]) -> bool | None:
    if condition.re:
        return searches[condition.re, text]
    return any(_contains(text, fold(part)) for part in condition.any)


def _contains(text: str, part: str) -> bool:
    """Whether `part` stands in `text`. A number is a whole one: "stage 1" does not stand in "stage 10"."""
    place = text.find(part) if part else -1  # a book has no empty text, but a damaged judgement may
    while place >= 0:
        before, after = text[place - 1 : place], text[place + len(part) : place + len(part) + 1]
        if not (part[0].isdecimal() and before.isdecimal()) and not (part[-1].isdecimal() and after.isdecimal()):
            return True
        place = text.find(part, place + 1)
    return False


def is_exact(answer: str, reference: str) -> bool:
    return " ".join(answer.split()) == " ".join(reference.split())


def compute_chrf(answer: str, reference: str) -> float:
    """Compute chrF (Popović 2015) of one sentence, from 0 to 100: the F-score of character n-grams, without spaces.

    The same as sacrebleu's `sentence_chrf`, which would bring 90 MB of packages into the app.
    """
    hypothesis, wanted = "".join(answer.split()), "".join(reference.split())
    precision = recall = 0.0
    orders = 0
    for order in range(1, ORDER + 1):
        ours, theirs = _count_pieces(hypothesis, order), _count_pieces(wanted, order)
        if ours and theirs:
            common = (ours & theirs).total()
            precision += common / ours.total()
            recall += common / theirs.total()
            orders += 1
    if not precision + recall:
        return 0.0
    precision, recall, weight = precision / orders, recall / orders, BETA**2
    return 100 * (1 + weight) * precision * recall / (weight * precision + recall)


def _count_pieces(text: str, length: int) -> Counter[str]:
    return Counter(text[start : start + length] for start in range(len(text) - length + 1))
