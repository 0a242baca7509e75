"""The judgements of runs in a comparison: one row for each book, and the best pass rate of the same questions."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from support.fake_runs import make_run
from support.judged import judge_pairs, make_judgement

from codex_tui.runs.compared_judgements import BookResult, group_by_book, read_book_results
from codex_tui.runs.compared_settings import ComparedSettings
from codex_tui.runs.comparison import ComparedRun, Results, Row, compare
from training.contract import judgement_file
from training.contract.config import Fingerprint
from training.contract.judgement import Book
from training.contract.run_directory import RunDirectory

SHA = "1a" * 32
GUIDE = BookResult("/books/guide.jsonl", SHA, 40, 26, 40, 68.2)


def save(run: RunDirectory, name: str, passes: int, sha256: str = SHA, age: float = 0.0) -> None:
    result = make_judgement(judge_pairs([(place < passes, False) for place in range(4)]))
    result.book = Book(name=f"/books/{name}.jsonl", sha256=sha256)
    path = run.judgements / f"{name}-{age:g}.json"
    judgement_file.write(path, result)
    os.utime(path, (1e9 - age, 1e9 - age))


def rows(*judgements: tuple[BookResult, ...], comparable: bool = True) -> list[Row]:
    found = Fingerprint(sha256=SHA, eval_rows=4)
    runs = [
        ComparedRun(
            f"run-{number}",
            ComparedSettings({"training.seed": 1 if comparable else number}, fingerprint=found),
            Results("done", judgements=results),
        )
        for number, results in enumerate(judgements)
    ]
    return [row for row in compare(runs).results if row.title.startswith(("passes", "chrF"))]


@pytest.mark.usefixtures("empty_home")
def test_the_newest_judgement_of_each_book_counts() -> None:
    run = make_run("a")
    save(run, "guide", passes=1, age=50.0)
    save(run, "guide", passes=3)
    save(run, "bosses", passes=2, sha256="2b" * 32)
    (run.judgements / "damaged.json").write_text("{")
    results = {result.book: (result.passes, result.marked) for result in read_book_results(run)}
    assert results == {"/books/guide.jsonl": (3, 4), "/books/bosses.jsonl": (2, 4)}
    assert read_book_results(make_run("b")) == ()


def test_the_best_pass_rate_of_the_same_questions_is_marked() -> None:
    moved = replace(GUIDE, book="/elsewhere/guide.jsonl", passes=30, chrf=60.0)
    assert rows((GUIDE,), (moved,), ()) == [
        ("passes guide", ("26 of 40", "30 of 40", "–"), {1}),
        ("chrF guide", ("68.2", "60.0", "–"), {0}),
    ]
    # The same questions can be compared even if the runs held other rows out.
    assert rows((GUIDE,), (moved,), comparable=False)[0].best == {1}


def test_held_out_rows_are_the_same_questions_only_for_runs_that_can_be_compared() -> None:
    one, other = (BookResult("held-out", "", 11, 0, 0, chrf) for chrf in (40.0, 50.0))
    assert rows((one,), (other,)) == [("chrF held-out", ("40.0", "50.0"), {1})]
    assert rows((one,), (other,), comparable=False) == [("chrF held-out", ("40.0", "50.0"), frozenset())]


def test_books_with_the_same_name_are_kept_apart() -> None:
    other = replace(GUIDE, sha256="2b" * 32, passes=40)
    assert [title for title, _ in group_by_book([[GUIDE], [other]])] == ["guide", "guide 2b2b"]
    assert [row.best for row in rows((GUIDE,), (other,))] == [frozenset()] * 4
    assert "\x1b" not in next(group_by_book([[replace(GUIDE, book="a\x1b[2J")]]))[0]
