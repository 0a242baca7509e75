"""Which judgements a run has, which side did better, and which questions a filter lets through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.judge_screen import damage, judge_questions, judge_side, make_question, write_judgement
from support.judged import make_judgement

from codex_tui.judge.results import Verdict, compare_answers, contains, is_in_group, is_shown, list_groups, read_shelf
from training.contract.judgement import JudgedQuestion
from training.contract.run_directory import RunDirectory


def judge(adapter: bool | None, other: bool | None, chrfs: tuple[float, float] = (50.0, 50.0)) -> JudgedQuestion:
    ours, theirs = (judge_side("x", passed=False, loss=1.0, chrf=chrf) for chrf in chrfs)
    return JudgedQuestion(
        question=make_question(1),
        adapter=type(ours)(answer=ours.answer, passed=adapter, chrf=chrfs[0]),
        other=type(theirs)(answer=theirs.answer, passed=other, chrf=chrfs[1]),
    )


@pytest.mark.parametrize(
    ("judged", "verdict"),
    [
        (judge(True, False), "better"),
        (judge(False, True), "worse"),
        (judge(True, True, (10.0, 90.0)), "same"),  # the conditions decide
        (judge(None, None, (90.0, 10.0)), "better"),  # without conditions, chrF does
        (judge(None, None, (10.0, 90.0)), "worse"),
        (judge(None, None), "same"),
    ],
)
def test_which_side_did_better(judged: JudgedQuestion, verdict: Verdict) -> None:
    assert compare_answers(judged) == verdict
    assert is_shown(judged, "all")
    assert is_shown(judged, "worse") is (verdict == "worse")
    assert is_shown(judged, "better") is (verdict == "better")
    assert is_shown(judged, "fail") is (judged.adapter.passed is False)


def test_a_group_has_as_many_questions_as_the_table_says() -> None:
    judged = judge_questions(24)
    groups = list_groups(make_judgement(judged))
    assert [*groups] == ["all", "known by heart", "unseen", "weapon priority", "stage bosses", "builds"]
    for name, group in groups.items():
        assert sum(is_in_group(one, name) for one in judged) == group.questions
        main = group.main
        if main:
            of_group = [one for one in judged if is_in_group(one, name)]
            assert sum(is_shown(one, "better") for one in of_group) == main.wins
            assert sum(is_shown(one, "worse") for one in of_group) == main.losses


def test_a_search_looks_at_all_texts() -> None:
    one = judge_questions(3)[0]
    for needle in ("TWO PLAYERS", "loading dock", "trains", "weapon", "q0"):
        assert contains(one, needle)
    assert not contains(one, "flamethrower")


def test_the_newest_is_first_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    assert not read_shelf(run).judgements
    write_judgement(run, "old", age=60)
    write_judgement(run, "new")
    write_judgement(run, "broken")
    os.utime(run.judgements / "new.json", (1, 1))  # a copy of a run has other times
    damage(run, "broken")
    shelf = read_shelf(run)
    assert [path.name for path in shelf.paths] == ["new.json", "old.json"]
    assert [judgement.name for judgement in shelf.judgements] == ["new", "old"]
    assert len(shelf.problems) == 1 and "broken.json is damaged" in shelf.problems[0]
