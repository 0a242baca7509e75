"""The command `judge`, where no model is needed: its mistakes, its report, and its exports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_runs import make_run
from support.judged import judge_pairs, make_judgement

from codex_tui.base.progress import Progress
from codex_tui.cli import main
from codex_tui.commands.judge_report import format_json, format_report
from codex_tui.judge.card_guard import POLL_SECONDS, require_idle
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

MODEL = {"name": "org/model", "load_in_4bit": True, "dtype": "bfloat16"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    return tmp_path


def make_trained(name: str, weights: bytes = b"1", model: str = "org/model") -> RunDirectory:
    run = make_run(name, ev.Started(attempt=1, pid=1), ev.Done(step=1))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    (run.adapter / "adapter_model.safetensors").write_bytes(weights)
    write_config(run, {"profile": {"model": MODEL | {"name": model}}, "dataset": "rows.jsonl"})
    return run


def fail(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert main(["judge", *arguments]) == code
    return capsys.readouterr().err


def test_a_busy_machine_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    make_trained("a")
    make_run("live", ev.Started(attempt=1, pid=1), alive=True)
    for options in ([], ["--rows"]):
        assert fail(capsys, "a", *options, code=1) == (
            "codex-tui: live is training, and a judgement would take memory and time from it.\n"
            "Wait until it has ended: add --wait. Or stop it: codex-tui stop live\n"
        )


def test_a_faulty_book_shows_all_its_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_trained("a")
    book = tmp_path / "book.jsonl"
    book.write_text('{"id": "x", "question": "Hi?", "mast": "y"}\n{"question": "Hi?", "must": {"re": "("}}\n')
    told = fail(capsys, "a", "--book", str(book))
    assert told.startswith(f"codex-tui: {book} has 3 faults:\n  line 1, mast: unknown field; did you mean must?\n")
    book.write_text("")
    assert fail(capsys, "a", "--book", str(book)) == f"codex-tui: {book} has no questions.\n"
    for missing in (str(tmp_path / "none.jsonl"), "~nobody-has-this-name/book.jsonl"):
        assert "No such file" in fail(capsys, "a", "--book", missing)


def test_what_can_not_be_compared_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    make_trained("a")
    make_trained("b")
    make_trained("c", b"2", "org/other")
    make_run("bare", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    assert "a can't be compared with itself" in fail(capsys, "a", "--against", "a")
    assert "a and b have the same adapter" in fail(capsys, "a", "--against", "b")
    assert "model.name is 'org/model' and 'org/other'" in fail(capsys, "a", "--against", "c")
    assert "bare has no adapter" in fail(capsys, "bare")
    assert "No run is called 'nobody'" in fail(capsys, "nobody")
    assert "One run is judged at a time" in fail(capsys, "a", "b")
    assert "--out works only with draft" in fail(capsys, "a", "--out", "x")
    assert "--max-new-tokens 0" in fail(capsys, "a", "--max-new-tokens", "0")


def test_the_report_has_the_conclusions_above_the_table() -> None:
    judged = judge_pairs([(True, False)] * 12, tag="boss", known="exact") + judge_pairs([(False, False)] * 8)
    result = make_judgement(judged)
    result.conclusions = ["So it is."]
    lines = list(format_report(result, Path("/x/book.json")))
    assert lines[:2] == ["run-1 against base, with the questions of /books/book.jsonl", "So it is."]
    assert [re.sub(r" +", " ", line) for line in lines[4:7]] == [
        "all 20 0 → 12 +12 (+7 to +17) 12/0/8 0 → 60 3.09 → 0.55",
        "known by heart 12 0 → 12 +12 (+9 to +12) 12/0/0 0 → 100 3.11 → 0.56",
        "unseen 8 0 → 0 +0 (−3 to +3) 0/0/8 0 → 0 3.07 → 0.54",
    ]
    assert max(map(len, lines[3:8])) <= 80


def test_json_has_every_difference_with_its_interval() -> None:
    judged = judge_pairs([(True, False)] * 12 + [(False, True)] * 4, tag="boss")
    told = json.loads(json.dumps(format_json(make_judgement(judged), Path("/x/book.json"))))
    assert (told["base"]["passes"], told["adapter"]["passes"]) == (4, 12)
    assert (told["wins"], told["losses"], told["ties"]) == (12, 4, 0)
    assert told["differences"]["passes"]["estimate"] == 8
    assert told["tags"]["boss"] == {key: told[key] for key in told["tags"]["boss"]}
    for difference in told["differences"].values():
        assert difference["low"] <= difference["estimate"] <= difference["high"]
    against = format_json(make_judgement(judged, against="run-2"), Path("/x/book.json"))
    assert "base" not in against
    assert against["other"]["passes"] == 4


def test_a_task_for_lm_eval_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_trained("a")
    book, folder = tmp_path / "My book.jsonl", tmp_path / "out"
    questions = [
        {"id": "x", "question": "Gun?", "reference": 'The "Ripper": yes', "tags": ["b"]},
        {"id": "y", "question": "Why?", "must": "z"},
    ]
    book.write_text("".join(json.dumps(question) + "\n" for question in questions))
    assert main(["judge", "a", "--book", str(book), "--export-lm-eval", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "asks 1 question." in told
    assert "1 question has no reference" in told
    task = "codex_tui_my_book"
    rows = [json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()]
    assert rows == [{"id": "x", "question": "Gun?", "reference": 'The "Ripper": yes', "tags": ["b"]}]
    config = (folder / f"{task}.yaml").read_text()
    assert 'target_delimiter: ""' in config
    assert f'task: "{task}"' in config
    assert "no_reference" not in config
    book.write_text(json.dumps(questions[1]) + "\n")
    assert "No question has a reference" in fail(capsys, "a", "--book", str(book), "--export-lm-eval", str(folder))


def test_without_conditions_the_table_has_exact_answers() -> None:
    result = make_judgement(judge_pairs([(None, None)] * 8))
    lines = list(format_report(result, Path("/x/book.json")))
    assert re.sub(r" +", " ", lines[2]).strip() == "N EXACT CHRF BY WIN/LOSS/TIE CHRF LOSS"
    assert re.sub(r" +", " ", lines[3]) == "all 8 0 → 0 +0 (+0 to +0) 0/0/8 0 → 0 3.07 → 0.54"


def test_waiting_ends_with_the_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    live = make_run("live", ev.Started(attempt=1, pid=1), alive=True)
    waits: list[float] = []

    def end_the_run(seconds: float) -> None:
        waits.append(seconds)
        live.write_process(ProcessIdentity(999_999, 1.0))

    monkeypatch.setattr("codex_tui.judge.card_guard.time.sleep", end_the_run)
    progress: list[Progress] = []
    require_idle(progress.append, wait=True)
    assert waits == [POLL_SECONDS]
    assert [one.detail for one in progress] == ["live"]
