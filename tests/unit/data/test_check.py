"""`data check`: what it tells a person and a script; the worker is a stand-in that counts words for tokens."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.fake_interpreter import fake_interpreter

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.machine import forecast
from training.dataset import scan as scans

KEYS = {"files", "eval_files", "left_out", "rows", "kept", "bad",
        "columns", "shape", "tokens", "truncated", "answers", "answers_cut", "answers_lost",
        "train_sequences", "learned_tokens",
        "duplicates", "steps_per_epoch", "passes", "seconds_per_epoch", "duration", "warnings", "skipped"}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def words(folder: Path) -> None:
    """The settings name the stand-in."""
    locations.settings_file().parent.mkdir(parents=True)
    locations.settings_file().write_text(
        f"[trainer]\npython = {json.dumps(str(fake_interpreter(folder, 'word_counting_worker')))}\n"
    )


def rows_file(*rows: Any, name: str = "rows.jsonl") -> str:
    Path(name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return name


def profile_file(text: str = "", head: str = "") -> str:
    Path("p.toml").write_text(f'{head}\n[model]\nname = "demo:llama"\nmax_seq_length = 16\n[dataset]\n{text}\n')
    return "p.toml"


def pair(answer: str, question: str = "Who is it?", **more: Any) -> dict[str, Any]:
    return {"instruction": question, "response": answer, **more}


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["data", "check", *arguments, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert set(found) == KEYS
    return found


def test_the_files_of_a_folder_are_listed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for name in ("rows/train/a.jsonl", "rows/test/a.jsonl", "rows/README.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        rows_file(pair(f"It is in {name}."), name=name)
    found = told(capsys, "rows")
    assert found["rows"] == 1
    assert found["files"] == [str(folder / "rows/train/a.jsonl")]
    assert found["left_out"] == [
        {"file": str(folder / "rows/README.md"), "reason": "not a data file"},
        {"file": str(folder / "rows/test/a.jsonl"), "reason": "the test split"},
    ]
    assert main(["data", "check", "rows"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [
        "  files read: train/a.jsonl",
        "  left out (not a data file): README.md",
        "  left out (the test split): test/a.jsonl",
    ]


def test_a_validation_split_is_the_evaluation_set(
    capsys: pytest.CaptureFixture[str], folder: Path, words: None
) -> None:
    Path("rows").mkdir()
    rows_file(*(pair(f"Answer {n}.", f"Question {n}?") for n in range(20)), name="rows/guide.jsonl")
    rows_file(*(pair(f"Held {n}.", f"Kept {n}?") for n in range(7)), name="rows/guide-valid.jsonl")
    found = told(capsys, "rows", "--profile", profile_file("max_eval_rows = 5"))
    assert (found["rows"], found["kept"], found["steps_per_epoch"]) == (27, 27, 5)
    assert found["files"] == [str(folder / "rows/guide.jsonl")]
    assert found["eval_files"] == [str(folder / "rows/guide-valid.jsonl")]
    assert main(["data", "check", "rows", "--profile", "p.toml"]) == 0
    out = capsys.readouterr().out
    assert "  only for the evaluation: guide-valid.jsonl\n" in out
    assert "20 rows for training, 5 for evaluation" in out
    told(capsys, "rows", "--profile", profile_file("eval_fraction = 0.0"))
    assert main(["data", "check", "rows", "--profile", "p.toml"]) == 0
    assert "20 rows for training, 0 for evaluation" in capsys.readouterr().out


def test_the_profile_names_the_split_and_the_evaluation_rows(
    capsys: pytest.CaptureFixture[str], folder: Path, words: None
) -> None:
    Path("rows").mkdir()
    for name, count in (("rows/train", 8), ("rows/test", 5), ("held", 3)):
        rows_file(*(pair(f"Answer {name} {n}.", f"Question {name} {n}?") for n in range(count)), name=f"{name}.jsonl")
    found = told(capsys, "--profile", profile_file('path = "rows"\nsplit = "test"\neval_path = "held.jsonl"'))
    assert found["rows"] == 8
    assert found["files"] == [str(folder / "rows/test.jsonl")]
    assert found["eval_files"] == [str(folder / "held.jsonl")]
    assert main(["data", "check", "--profile", profile_file('path = "rows"\neval_path = "none.jsonl"')]) == 2
    assert "dataset.eval_path: " in capsys.readouterr().err


def test_rows_alone(capsys: pytest.CaptureFixture[str]) -> None:
    file = rows_file(pair("b", note="x"), "{broken", pair("b", note="y"), pair(""))
    found = told(capsys, file, code=2)
    assert (found["rows"], found["kept"], found["shape"]) == (4, 2, "instruction")
    assert found["bad"] == [
        {"line": 2, "reason": "not valid JSON: Expecting property name enclosed in double quotes (column 2)"},
        {"line": 4, "reason": '"response" is empty'},
    ]
    assert found["columns"] == {"used": ["instruction", "response"], "ignored": ["note"]}
    assert found["duplicates"] == {"exact": 1, "near": 0, "overlap": None}
    assert found["skipped"] == {"not valid JSON": 1, '"response" is empty': 1}
    unknown = ("tokens", "truncated", "answers", "answers_cut", "answers_lost", "train_sequences", "steps_per_epoch")
    assert [found[key] for key in unknown] == [None] * len(unknown)
    assert all(warning["remedy"] for warning in found["warnings"])

    assert main(["data", "check", file]) == 2
    out = capsys.readouterr().out
    assert "rows.jsonl: 4 rows, 2 kept, 2 bad\n  line 2: not valid JSON" in out
    assert "columns     instruction, response used; note ignored" in out
    assert "duplicates  1 identical, 0 near-duplicates\n" in out


def test_good_rows_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, rows_file(pair("a"), pair("b")))["bad"] == []
    skips = profile_file('on_bad_rows = "skip"')
    assert told(capsys, rows_file(pair("a"), "{"), "--profile", skips)["kept"] == 1
    assert told(capsys, rows_file("{", "5"), "--profile", skips, code=2)["kept"] == 0
    assert told(capsys, rows_file(), code=2)["rows"] == 0


def test_ten_bad_rows_are_shown_and_all_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "MAX_PROBLEMS", 5)  # the others are looked at again
    file = rows_file(*(["{"] * 13), pair("a"))
    assert main(["data", "check", file]) == 2
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("  line ")][-1].startswith("  line 10: ")
    assert "  and 3 more; --json lists all of them\n" in out
    found = told(capsys, file, code=2)
    assert [bad["line"] for bad in found["bad"]] == list(range(1, 14))
    assert {bad["reason"] for bad in found["bad"]} == {found["bad"][0]["reason"]}


def test_several_files_and_folders(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows").mkdir()
    rows_file(pair("a"), "{", name="rows/a.jsonl")
    Path("rows/b.csv").write_text("prompt,completion\nWho?,Rook\nWho?,\n")
    found = told(capsys, "rows", code=2)
    assert [(bad["file"], bad["line"]) for bad in found["bad"]] == [("a.jsonl", 2), ("b.csv", 3)]
    again = told(capsys, "rows/a.jsonl", "rows/b.csv", code=2)
    assert again == found
    assert main(["data", "check", "rows/*.csv", "rows/a.jsonl"]) == 2
    assert "  b.csv, line 3: " in capsys.readouterr().out


def test_a_profile_tells_of_tokens(capsys: pytest.CaptureFixture[str], words: None) -> None:
    lost = pair("So.", "why " * 20)
    rows = [pair("one two " * 10), lost, *(pair(f"It is {number}.") for number in range(40))]
    found = told(capsys, rows_file(*rows), "--profile", profile_file("eval_fraction = 0.0"))
    assert found["tokens"] == {"p50": 6, "p90": 6, "p95": 6, "p99": 23, "max": 23}
    assert (found["truncated"], found["answers_lost"], found["kept"]) == (2, 1, 42)
    assert found["learned_tokens"] == 40 * 3 + 16 - 3
    assert found["skipped"] == {"no answer is left before the cut": 1}
    assert found["steps_per_epoch"] == 11  # of 4 rows each
    assert found["seconds_per_epoch"] is None
    assert any("lies wholly beyond the cut" in warning["message"] for warning in found["warnings"])

    assert main(["data", "check", "rows.jsonl", "--profile", "p.toml"]) == 0
    out = capsys.readouterr().out
    assert "cut         2 rows at max_seq_length = 16; 1 answer lost, 1 cut short\n" in out
    assert "steps       11 an epoch, 11 in total\n" in out
    assert "! 1 answer of 42 lies wholly beyond the cut at 16 tokens: the model can't learn it. 1 row has no" in out
    assert "  → model.max_seq_length = 64 cuts none" in out


def test_an_epochs_time_is_told_from_the_last_run(
    capsys: pytest.CaptureFixture[str], words: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tui.data.check.find_last_speed_on", lambda card, profile, path: 2.0)
    file, profile = rows_file(*(pair(f"It is {n}.") for n in range(10))), profile_file("eval_fraction = 0.0")
    assert told(capsys, file, "--profile", profile)["seconds_per_epoch"] == 30.0
    assert main(["data", "check", file, "--profile", profile]) == 0
    assert "0:30 an epoch at the 2 tokens/s of the last run with this model here" in capsys.readouterr().out


@pytest.mark.parametrize(("card", "passes"), [("NVIDIA H200", 1), ("A card of 2031", 4)])
def test_the_passes_of_a_step_are_those_that_auto_chooses_on_the_card(
    capsys: pytest.CaptureFixture[str], words: None, monkeypatch: pytest.MonkeyPatch, card: str, passes: int
) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device: forecast.Card(card, 24_576, 24_000, 576))
    file, profile = rows_file(*(pair(f"It is {'so ' * 40} {n}.") for n in range(40))), profile_file()
    text = Path(profile).read_text()
    Path(profile).write_text(text.replace("demo:llama", "unsloth/Llama-3.2-3B-Instruct-bnb-4bit"))
    found = told(capsys, file, "--profile", profile)
    assert found["passes"]["per_step"] == passes
    assert found["steps_per_epoch"] == 10


def test_where_no_answer_is_left_nothing_passes(capsys: pytest.CaptureFixture[str], words: None) -> None:
    found = told(capsys, rows_file(pair("So.", "why " * 20)), "--profile", profile_file(), code=2)
    assert "The model would learn nothing" in found["warnings"][0]["message"]


def test_without_the_training_environment_the_rest_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    rows_file(*(pair(f"It is {number}.") for number in range(10)))
    profile = profile_file('path = "rows.jsonl"\neval_fraction = 0.5')
    found = told(capsys, "--profile", profile)  # the profile's own rows
    assert (found["rows"], found["tokens"], found["steps_per_epoch"]) == (10, None, 2)
    assert found["warnings"][0]["message"].startswith("Token counts are not available: The training environment is not")
    assert "codex-tui setup" in found["warnings"][0]["remedy"]
    assert main(["data", "check", "--profile", profile]) == 0
    out = capsys.readouterr().out
    assert "steps       at most 2 an epoch" in out
    assert "codex-tui setup" in out


def test_what_keeps_the_tokenizer_away_is_said(capsys: pytest.CaptureFixture[str], words: None) -> None:
    profile = profile_file(head='title = "There is no such model."')
    found = told(capsys, rows_file(*(pair(f"It is {number}.") for number in range(10))), "--profile", profile)
    assert found["tokens"] is None
    assert "There is no such model." in found["warnings"][0]["message"]


def test_columns_of_the_profile_are_read(capsys: pytest.CaptureFixture[str], words: None) -> None:
    profile = profile_file('response_column = "reply"')
    rows = rows_file({"instruction": "Who?", "response": "no", "reply": "Rook."})
    found = told(capsys, rows, "--profile", profile)
    assert found["columns"] == {"used": ["instruction", "reply"], "ignored": ["response"]}


def test_texts_from_outside_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07"
    rows = rows_file({"instruction": "a", "response": "b", evil: "c" * 99}, name="rows\x1b[2J.jsonl")
    assert main(["data", "check", rows]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "␛]0;owned␇" in out
    assert "\x1b" not in json.dumps(told(capsys, rows))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No dataset is named"),
        (["none.jsonl"], "no such dataset file"),
        (["--profile", "p.toml"], "names no dataset.\nName a FILE after the command, or set path under [dataset]"),
        (["rows.jsonl", "--profile", "no-such"], "No profile is called 'no-such'"),
        (["array.json"], "not UTF-8"),
    ],
)
def test_mistakes_are_told_in_words(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows_file(pair("a"))
    profile_file()
    Path("array.json").write_bytes(b"[\xff]")
    assert main(["data", "check", *arguments]) == 2
    heard = capsys.readouterr()
    assert said in heard.err
    assert heard.out == ""


def test_the_second_look_reads_what_was_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rows_file(*(pair(f"It is {number}.") for number in range(10)), "{")
    first = told(capsys, file, code=2)

    def no_scan(*_: object) -> None:
        raise AssertionError("it was scanned before")

    monkeypatch.setattr("codex_tui.data.check.scans.scan", no_scan)
    assert told(capsys, file, code=2) == first


def test_a_pipe_that_takes_ascii_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["data", "check", rows_file(pair("Zoë 🧟"), {"café": 1}), "--json"]) == 2
    out.flush()
    assert out.buffer.getvalue().isascii()  # type: ignore[attr-defined]


def test_a_run_with_bad_rows_is_refused_with_the_option_that_skips_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows_file(pair("a"), pair("b"), "{")
    Path("p.toml").write_text('[model]\nname = "demo:llama"\n[dataset]\npath = "rows.jsonl"\n')
    assert main(["train", "p.toml", "--headless"]) == 2
    said = capsys.readouterr().err
    assert "1 of 3 rows can't be used for training:\n  line 3: " in said
    assert 'or train on the rest: dataset.on_bad_rows = "skip" (--set dataset.on_bad_rows=skip).' in said
