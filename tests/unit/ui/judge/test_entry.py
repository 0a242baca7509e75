"""A question in the list of a judgement."""

from __future__ import annotations

from support.judge_screen import judge_side, make_question
from textual.content import Content

from codex_tui.ui.judge.entry import draw_entry
from codex_tui.ui.kit.text_search import MATCH
from training.contract.judgement import JudgedQuestion


def highlighted(row: Content) -> list[str]:
    return [row.plain[span.start : span.end] for span in row.spans if span.style == MATCH]


def test_each_place_of_the_searched_text_is_highlighted() -> None:
    side = judge_side("Weiß: the Pier, then the pier.", passed=True, loss=1.0, chrf=50.0)
    judged = JudgedQuestion(question=make_question(1), adapter=side, other=side)
    rows = draw_entry(judged, ("adapter", "base"), "pier", 80)
    assert [highlighted(row) for row in rows] == [[], ["Pier", "pier"], ["Pier", "pier"]]
