"""The sentences above the table: what a judgement shows, and what it can't show."""

from __future__ import annotations

from support.judged import judge_pairs, make_judgement

from codex_tui.judge.conclusions import draw_conclusions

WON, LOST, BOTH, NONE = (True, False), (False, True), (True, True), (False, False)


def test_the_first_sentence_counts_and_the_last_tag_is_too_small() -> None:
    judged = judge_pairs([WON] * 13 + [LOST] + [BOTH] * 10 + [NONE] * 12) + judge_pairs([WON] * 4, tag="builds")
    sentences = draw_conclusions(make_judgement(judged))
    assert sentences[0] == "40 questions: base passes 11, the adapter 27: 16 more, 95 % between 9 and 23."
    assert "Nothing can be said about *builds*: 4 questions." in sentences
    assert sentences[-1].startswith("A token of the right answers costs the adapter ")


def test_what_may_be_chance_is_called_so() -> None:
    judged = judge_pairs([WON] * 4 + [LOST] * 2 + [BOTH] * 10, tag="boss")
    sentences = draw_conclusions(make_judgement(judged))
    assert sentences[0] == "16 questions: base passes 12, the adapter 14. This can be chance: 95 % between −3 and +7."
    assert sentences[1] == "*boss*: no difference can be shown with 16 questions."


def test_a_worse_adapter_is_called_worse() -> None:
    judged = judge_pairs([LOST] * 12 + [BOTH] * 4, tag="boss")
    sentences = draw_conclusions(make_judgement(judged, against="run-2"))
    assert sentences[0] == "16 questions: run-2 passes 16, run-1 4: 12 fewer, 95 % between 8 and 15."
    assert "*boss*: run-2 is better at 12 of 16 questions." in sentences


def test_learned_by_heart_is_told_apart() -> None:
    judged = judge_pairs([WON] * 24, known="exact") + judge_pairs([WON] * 2 + [NONE] * 14)
    sentences = draw_conclusions(make_judgement(judged))
    assert sentences[1] == (
        "24 of them stand in the training rows: base passes none, the adapter 24: 24 more, 95 % between 21 and 24."
    )
    assert sentences[2].startswith("16 are unseen: base passes none, the adapter 2. This can be chance")
    assert sentences[3] == (
        "The adapter passes 100 % of the trained questions and 12 % of the unseen: much of what it knows is learned by "
        "heart."
    )
    only_known = draw_conclusions(make_judgement(judge_pairs([WON] * 24, known="near")))
    assert "Nothing can be said about questions that were not trained: the book has none." in only_known


def test_without_conditions_the_references_decide() -> None:
    judged = judge_pairs([(None, None)] * 3)
    assert draw_conclusions(make_judgement(judged))[0].endswith("So few show nothing.")
    assert "passes" not in draw_conclusions(make_judgement(judged))[0]


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    sentences = draw_conclusions(make_judgement(judge_pairs([(None, None)] * 8)))
    assert sentences[0].endswith("chrF 0 and 0. This can be chance: 95 % between 0 and 0.")


def test_an_adapter_that_changes_nothing_is_reported() -> None:
    sentences = draw_conclusions(make_judgement(judge_pairs([BOTH] * 8), on=0.0))
    assert sentences[0] == "8 questions: base passes 8, the adapter 8. No difference is seen."
    assert sentences[-1].startswith("The adapter changes nothing")
