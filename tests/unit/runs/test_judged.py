"""The judgements of a run in the list of runs, in its banner and on its card."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_runs import as_json, make_run
from support.judged import judge_pairs, make_judgement

from codex_tui.cli import main
from codex_tui.hub.adapter import make_card, update_local_card
from codex_tui.judge.results import read_shelf
from codex_tui.runs.compared_judgements import read_book_results
from codex_tui.runs.follower import snapshot
from codex_tui.ui.cockpit.banner import explain_outcome
from codex_tui.ui.judge.result import OUTDATED, draw_result
from training.contract import events as ev
from training.contract import judgement, judgement_file
from training.contract.card_text import CARD
from training.contract.run_directory import RunDirectory

WEIGHTS = b"weights"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    (run.adapter / "adapter_model.safetensors").write_bytes(WEIGHTS)
    write_config(run, {"profile": {"model": {"name": "org/model"}}, "dataset": "rows.jsonl"})
    return run


def test_the_list_of_runs_shows_the_last_judgement(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    save(run, "older", against="base")
    os.utime(run.judgements / "older.json", (1.0, 1.0))
    save(run, "newer", against="run-2\x1b[2J")
    assert main(["runs"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.endswith("  Judged against run-2␛[2J: passes 0 → 8 of 8, chrF 0 → 100, loss 3.07 → 0.54.")


def save(
    run: RunDirectory, name: str = "book", conclusion: str = "40 questions: much better.", against: str = "base"
) -> Path:
    result = make_judgement(judge_pairs([(True, False)] * 8), against)
    result.adapter = judgement.Model(name="a", sha256=hashlib.sha256(WEIGHTS).hexdigest())
    result.conclusions = [conclusion]
    path = run.judgements / f"{name}.json"
    judgement_file.write(path, result)
    return path


def test_the_list_of_runs_is_indented_json(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    save(run)
    make_run("b", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    assert main(["runs", "--json"]) == 0
    printed = capsys.readouterr().out
    listed = json.loads(printed)
    assert sorted(len(one["judgements"]) for one in listed) == [0, 1]
    assert printed == json.dumps(listed, indent=2) + "\n"


def test_the_list_of_runs_has_them_and_leaves_damaged_ones_out(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(run)
    (run.judgements / "bad.json").write_text("{")
    (run.judgements / "answers.jsonl").write_text("")
    assert main(["runs", "--json"]) == 0
    [listed] = as_json(capsys)  # type: ignore[misc]
    assert listed["judgements"] == [
        {
            "name": "book",
            "against": "base",
            "book": "/books/book.jsonl",
            "created": 1.0,
            "questions": 8,
            "marked": 8,
            "adapter_passes": 8,
            "other_passes": 0,
            "levels": "passes 0 → 8 of 8, chrF 0 → 100, loss 3.07 → 0.54",
            "conclusion": "40 questions: much better.",
            "outdated": False,
        }
    ]
    path.unlink()
    assert main(["runs", "--json"]) == 0
    assert as_json(capsys)[0]["judgements"] == []  # type: ignore[index]


def test_the_banner_shows_the_newest_without_control_characters(run: RunDirectory) -> None:
    before = [entry.plain for entry in explain_outcome(run, snapshot(run))]
    save(run, against="\x1b[2Jevil")
    lines = [entry.plain for entry in explain_outcome(run, snapshot(run))]
    assert "Judged against ␛[2Jevil: passes 0 → 8 of 8, chrF 0 → 100, loss 3.07 → 0.54" in lines
    rest = [text.replace("J judgement", "J judge") for text in lines if not text.startswith("Judged")]
    assert rest == before


def test_the_card_has_those_of_the_adapter_as_it_is(run: RunDirectory) -> None:
    save(run, conclusion="It passes <b>all</b>.")
    card = make_card(run)("", "a", ".")
    assert "## Judged" in card
    assert "| book.jsonl, against base | passes 0 → 8 of 8, chrF 0 → 100, loss 3.07 → 0.54 |" in card
    assert "- It passes &lt;b&gt;all&lt;/b&gt;." in card
    assert "/books" not in card
    (run.adapter / CARD).write_text("Mine.")
    update_local_card(run)
    assert (run.adapter / CARD).read_text() == "Mine."
    (run.adapter / CARD).write_text(card.replace("## Judged", "## Old"))
    update_local_card(run)
    assert "## Judged" in (run.adapter / CARD).read_text()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"trained again")
    assert "## Judged" not in make_card(run)("", "a", ".")


def test_a_judgement_of_an_earlier_adapter_is_not_taken_for_the_result(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    save(run)
    assert read_shelf(run).outdated == (False,) and read_book_results(run)
    (run.adapter / "adapter_model.safetensors").write_bytes(b"trained on")
    earlier = "an earlier adapter, against base: passes 0 → 8 of 8"
    assert snapshot(run).leftovers.judged.startswith(earlier)
    assert main(["runs"]) == 0
    assert f"  Judged {earlier}" in capsys.readouterr().out
    assert main(["runs", "--json"]) == 0
    assert as_json(capsys)[0]["judgements"][0]["outdated"] is True  # type: ignore[index]
    assert read_shelf(run).outdated == (True,)
    assert next(draw_result(read_shelf(run), 0, 80)).plain == f"! {OUTDATED}"
    assert read_book_results(run) == ()  # in a comparison it would stand for the run


def test_a_note_is_told_apart_from_the_judgement(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    save(run)
    assert main(["runs", "note", "a", "the one for Tom"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    assert "  Note: the one for Tom · Judged against base" in capsys.readouterr().out


def test_a_summary_is_read_again_when_a_judgement_is_made(run: RunDirectory) -> None:
    follower = snapshot(run)
    assert follower.leftovers.judged == ""
    save(run)
    assert snapshot(run).leftovers.judged.startswith("against base: passes 0 → 8 of 8")
    assert json.loads((run.judgements / "book.json").read_text())["version"] == judgement.VERSION
