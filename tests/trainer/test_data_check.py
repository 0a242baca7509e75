"""`data check` with the real worker, over every kind of file there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.training_runs import Trainer

from codex_tui.cli import main

ROWS = [
    {"instruction": f"How much is {number} + 1?", "response": f"It is {number + 1}. " * (number % 5 + 1)}
    for number in range(30)
]


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["data", "check", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_every_format_comes_to_the_same(
    home: Path, trainer: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, array, table, parquet = (tmp_path / f"rows.{name}" for name in ("jsonl", "json", "csv", "parquet"))
    lines.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    array.write_text(json.dumps(ROWS))
    table.write_text("instruction,response\n" + "".join("{instruction},{response}\n".format(**row) for row in ROWS))
    trainer.run_program("files", "write_parquet", str(array), str(parquet))
    profile = tmp_path / "p.toml"
    profile.write_text('[model]\nname = "demo:llama"\nmax_seq_length = 48\n')
    found = told(capsys, str(lines), "--profile", str(profile))
    assert (found["rows"], found["kept"], found["bad"]) == (30, 30, [])
    assert found["tokens"]["max"] > 48 > found["tokens"]["p50"] > 10
    assert 0 < found["truncated"] < 30
    assert found["learned_tokens"] > 100
    assert found["steps_per_epoch"] == 7  # 28 rows, two held out, four a step
    packed = [tmp_path / "rows.jsonl.zst", tmp_path / "packed.csv.zst"]
    for file, name in zip((lines, table), packed, strict=True):
        trainer.run_program("files", "pack_with_zstandard", str(file), str(name))
    for other in (array, table, parquet, *packed):
        same = {**found, "files": [str(other)]}
        assert told(capsys, str(other), "--profile", str(profile)) == same


def test_a_model_that_is_not_there_leaves_the_rest(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, profile = tmp_path / "rows.jsonl", tmp_path / "p.toml"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    profile.write_text('[model]\nname = "./no-model"\n')
    found = told(capsys, str(rows), "--profile", str(profile))
    assert (found["kept"], found["tokens"]) == (30, None)
    assert f"{tmp_path / 'no-model'} is not a model" in found["warnings"][0]["message"]


def test_lengths_are_compared(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, profile = tmp_path / "rows.jsonl", tmp_path / "p.toml"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    profile.write_text('[model]\nname = "demo:llama"\nmax_seq_length = 48\n')
    command = ["data", "lengths", str(rows), "--profile", str(profile)]
    assert main([*command, "--card", "4096", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    checked = told(capsys, str(rows), "--profile", str(profile))
    at_48, at_longest = found["lengths"]
    assert (at_48["max_seq_length"], at_longest["max_seq_length"]) == (48, checked["tokens"]["max"])
    assert at_48["whole_rows"] == 30 - checked["truncated"]
    for name in ("answers_cut", "answers_lost", "learned_tokens"):
        assert at_48[name] == checked[name]
    assert (at_longest["whole_rows"], at_longest["answers_cut"], at_longest["answers_lost"]) == (30, 0, 0)
    assert found["longest_that_fits"] == at_longest["max_seq_length"]
    assert (found["long_rows"], found["tokens_per_second"]) == ("cut", None)
    assert main([*command, "--long-rows", "drop"]) == 0
    text = capsys.readouterr().out
    assert "Longer rows are left out" in text
    assert "▸     48" in text
    assert f"Every row is whole from {at_longest['max_seq_length']} on." in text
    assert "The time of an epoch is not known" in text


def test_lengths_need_a_profile_with_a_model(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, profile = tmp_path / "rows.jsonl", tmp_path / "p.toml"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    profile.write_text('[model]\nname = "./no-model"\n')
    assert main(["data", "lengths", str(rows)]) == 2
    assert "--profile" in capsys.readouterr().err
    assert main(["data", "lengths", str(rows), "--profile", str(profile)]) == 1
    assert "is not a model" in capsys.readouterr().err
    rows.write_text("{}\n")
    assert main(["data", "lengths", str(rows), "--profile", str(profile)]) == 2
    assert "has no row that can be used" in capsys.readouterr().err
