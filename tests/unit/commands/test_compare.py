"""`codex-tui compare`: the table at several widths, JSON, and mistakes in the names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.config_file import write_config
from support.fake_runs import as_json, make_run

from codex_tui.cli import main
from training.contract import events as ev

pytestmark = pytest.mark.usefixtures("empty_home")
SHA = "1a" * 32


def make(name: str, eval_loss: float, *, sha: str = SHA, **tables: dict[str, Any]) -> None:
    run = make_run(
        name,
        ev.Started(attempt=1, pid=1),
        ev.Resolved(total_steps=20, steps_per_epoch=10, train_rows=40, eval_rows=4),
        ev.Metrics(step=20, loss=0.5, tokens=1000),
        ev.Eval(step=20, eval_loss=eval_loss),
        ev.Done(step=20),
    )
    profile = {"model": {"name": "demo:llama"}, **tables}
    found = {"sha256": sha, "rows": 44, "train_rows": 40, "eval_rows": 4, "truncated_rows": 0, "dropped_rows": 0}
    write_config(run, {"profile": profile, "dataset_fingerprint": found, "dataset": "guide.jsonl"})


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments]) == 0
    return capsys.readouterr().out


def test_a_table_of_results_and_only_the_settings_that_differ(capsys: pytest.CaptureFixture[str]) -> None:
    make("first", 0.75, lora={"r": 8})
    make("second", 0.5, lora={"r": 16}, training={"learning_rate": 1e-3})
    text = output(capsys, "first", "sec")
    assert "A  first\nB  second\n" in text
    rows = [line.split() for line in text.splitlines()]
    for row in (
        ["best", "eval", "loss", "0.7500", "0.5000★"],
        ["lora.r", "8", "16"],
        ["training.learning_rate", "0.0002", "0.001"],
    ):
        assert row in rows
    assert "lora.lora_alpha" not in text and "Not comparable" not in text


def test_runs_on_other_data_are_not_comparable(capsys: pytest.CaptureFixture[str]) -> None:
    make("first", 0.75)
    make("second", 0.5, sha="2b" * 32)
    text = " ".join(output(capsys, "first", "second").split())
    assert "Not comparable: The data differ (A: guide.jsonl, 44 rows, sha256 1a1a1a1a; B: guide.jsonl" in text
    assert "0.5000★" not in text


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("count", [2, 4, 9])
def test_the_table_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, count: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"run-{number}" for number in range(count)]
    for number, name in enumerate(names):
        prompt = f"质量{'好' * 30} number {number}"
        make(name, 0.5 + number / 10, evaluation={"sample_prompt": prompt}, lora={"target_modules": [f"m{number}"] * 9})
    text = output(capsys, *names)
    assert max(map(_measure, text.splitlines())) <= width
    assert text.count("0.5000★") == 2  # of the best and of the last evaluation
    for number in range(count):
        assert f"m{number}, " in text


def _measure(line: str) -> int:
    from rich.cells import cell_len

    return cell_len(line)


def test_json_has_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    make("first", 0.75, lora={"r": 8})
    make("second", 0.5, lora={"r": 16}, training={"seed": 1})
    told: Any = json.loads(output(capsys, "first", "second", "--json"))
    assert [(run["name"], run["state"], run["best_eval_loss"]) for run in told["runs"]] == [
        ("first", "done", 0.75),
        ("second", "done", 0.5),
    ]
    assert told["settings"] == {
        "lora.r": {"first": 8, "second": 16},
        "training.seed": {"first": 3407, "second": 1},
    }
    assert not told["comparable"]
    [reason] = told["reasons"]
    assert reason["kind"] == "held-out rows"
    assert reason["groups"] == [
        {"description": "4 rows, seed 3407", "runs": ["first"]},
        {"description": "4 rows, seed 1", "runs": ["second"]},
    ]


def test_runs_with_the_same_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("first", "second"):
        make(name, 0.5)
    assert "All known settings are the same." in output(capsys, "first", "second")
    assert main(["compare", "first", "second", "--json"]) == 0
    assert as_json(capsys)["settings"] == {}  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["first"], "A comparison needs two or more runs.\nName another one: codex-tui compare first RUN"),
        (["first", "last"], "The run 'first' is named twice.\nName each run once."),
        (["first", "fist"], "No run is called 'fist'.\nDid you mean first?"),
    ],
)
def test_a_mistake_in_the_names(capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    make("first", 0.5)
    assert main(["compare", *arguments]) == 2
    assert error in capsys.readouterr().err
