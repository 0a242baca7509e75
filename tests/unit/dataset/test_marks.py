"""The marks of an answer: its conditions, and chrF as sacrebleu computes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.contract.judgement import Condition, Question
from training.dataset.marks import check_conditions, compute_chrf, find_failed, is_exact, mark_all
from training.dataset.patterns import search_all

# Written by sacrebleu 2.6.0: [answer, reference, sentence_chrf(answer, [reference]).score] for each pair.
CHRF_SCORES = Path(__file__).with_name("chrf_scores.json")
ENDLESS = r"(a+)+$"


def ask(must: tuple[Condition, ...] = (), must_not: tuple[Condition, ...] = ()) -> Question:
    return Question(id="q", messages=[{"role": "user", "content": "?"}], must=must, must_not=must_not)


def has(*texts: str) -> Condition:
    return Condition(any=texts)


@pytest.mark.parametrize(
    ("must", "must_not", "answer", "passes"),
    [
        ((has("Scattergun"),), (), "Take the SCATTERGUN.", True),
        ((has("Scattergun"), has("stage 9", "stage nine")), (), "the scattergun, up to stage nine", True),
        ((has("Scattergun"), has("stage 9")), (), "the scattergun", False),
        ((has("stage 1"),), (), "Beat stage 10 first.", False),
        ((has("stage 1"),), (), "Beat stage 10 first, then stage 1.", True),
        ((has("5 energy"),), (), "It costs 15 energy.", False),
        ((has("two  words"),), (), "two\nwords", True),
        ((has("ﬁre"),), (), "FIRE", True),  # a ligature
        ((has("Straße"),), (), "STRASSE", True),
        ((has("8"),), (), "ⅷ: ８", True),  # a full-width digit
        ((Condition(re=r"\b8 min"),), (), "It takes 8 MINUTES.", True),
        ((Condition(re=r"\b8 min"),), (), "It takes 18 minutes.", False),
        ((), (has("Pistol"),), "the brass pistol", False),
        ((), (has("Pistol"),), "the Scattergun", True),
        ((has("gems"),), (Condition(re="never|no gems"),), "No gems", False),
    ],
)
def test_an_answer_passes_if_it_has_all_and_nothing_forbidden(
    must: tuple[Condition, ...], must_not: tuple[Condition, ...], answer: str, passes: bool
) -> None:
    question = ask(must, must_not)
    assert mark_all([(question, answer)]) == ([passes], [])
    assert bool(find_failed(question, answer)) is not passes


def test_a_question_without_conditions_has_no_mark() -> None:
    assert mark_all([(ask(), "anything")]) == ([None], [])


def test_the_failed_conditions_are_named() -> None:
    question = ask((has("a"), has("b")), (has("c"),))
    assert find_failed(question, "a c") == ["must 2", "must_not"]


def test_an_endless_regular_expression_fails_and_stops_nothing_else() -> None:
    answer = "a" * 40 + "b"
    slow = ask((Condition(re=ENDLESS),))
    forbids = ask((), (Condition(re=ENDLESS),))
    fast = ask((Condition(re="a+b"),))
    assert mark_all([(slow, answer), (forbids, answer), (fast, answer)]) == ([False, False, True], ["q"])
    assert search_all([(ENDLESS, answer), ("b", answer), (ENDLESS, "aa"), ("c", answer)]) == [None, True, None, False]


def test_chrf_is_that_of_sacrebleu() -> None:
    scores = json.loads(CHRF_SCORES.read_text())
    assert len(scores) > 80
    for answer, reference, score in scores:
        assert compute_chrf(answer, reference) == pytest.approx(score, abs=1e-9), (answer, reference)


def test_exact_ignores_only_spaces() -> None:
    assert is_exact(" Two  words.\n", "Two words.")
    assert not is_exact("two words.", "Two words.")


def test_an_empty_condition_of_a_damaged_file_stands_in_no_answer() -> None:
    question = Question(id="x", messages=[], must=(Condition(any=("", "a")),), must_not=(Condition(any=(" ",)),))
    assert [(check.passes, check.found) for check in check_conditions(question, "a")] == [(True, ("a",)), (True, ())]


def test_what_was_found_of_each_condition() -> None:
    question = Question(
        id="a",
        messages=[],
        must=(Condition(any=("The Dock", "the pier")), Condition(re=r"wave \d+"), Condition(re=ENDLESS)),
        must_not=(Condition(any=("train",)), Condition(re="roof")),
    )
    answer = "Hold THE DOCK until wave 12, by train. " + "a" * 40 + "b"
    checked = check_conditions(question, answer)
    assert [(one.kind, one.passes, one.found) for one in checked] == [
        ("must", True, ("The Dock",)),
        ("must", True, ("wave 12",)),
        ("must", None, ()),
        ("must_not", False, ("train",)),
        ("must_not", True, ()),
    ]
