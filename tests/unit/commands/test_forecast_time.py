"""The speed and the time in codex-tui forecast: how long a run takes, and what fits into a given time."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from support.fake_forecast import CARD as LAPTOP

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.data import speed
from codex_tui.launch_plan import make_plan
from codex_tui.machine import forecast


@pytest.fixture(autouse=True)
def without_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": None)


def test_the_larger_passes_of_a_fast_card_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With packing = "auto" the run has them; with "pack" the passes are those of the profile."""
    h200 = forecast.Card("NVIDIA H200", 143_771.0, 143_000.0, 500.0)
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": h200)
    told = {}
    for packing in ("auto", "pack", "flatten"):
        assert main(["forecast", "rtx3050-4gb", "--set", f"training.packing={packing}", "--json"]) == 0
        told[packing] = json.loads(capsys.readouterr().out)
    passes = told["auto"]["larger_passes"]
    assert (passes["rows"], passes["instead_of"]) == (4, 1)
    assert 0.1 < passes["saved"]["low"] < passes["saved"]["high"] < 1
    assert told["auto"]["device_mib"] - told["pack"]["device_mib"] == pytest.approx(passes["needs_mib"], abs=1)
    assert told["auto"]["tokens_per_second"]["low"] > 1.5 * told["pack"]["tokens_per_second"]["low"]
    assert told["pack"]["larger_passes"] is None and told["flatten"]["larger_passes"] is None
    assert told["flatten"]["device_mib"] == told["auto"]["device_mib"]
    assert main(["forecast", "rtx3050-4gb"]) == 0
    out = capsys.readouterr().out
    assert "Passes: 4 rows instead of 1, because they fit and take " in out and " % less time; they need 0.75 GB" in out


def test_the_speed_is_estimated_or_that_of_the_last_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forecast", "rtx3050-4gb"]) == 0
    assert "Speed: not known before the first run with this model here." in capsys.readouterr().out
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    assert main(["forecast", "rtx3050-4gb"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Speed: "))
    assert line.endswith("tokens/s in rows of full length, estimated for NVIDIA GeForce RTX 3050 Laptop GPU.")
    assert main(["forecast", "rtx3050-4gb", "--json"]) == 0
    rate = json.loads(capsys.readouterr().out)["tokens_per_second"]
    assert 100 < rate["low"] < rate["high"] < 1000
    assert rate["measured_here"] is False
    monkeypatch.setattr(speed, "find_last_speed_on", lambda card, profile, path: 321.0)
    assert main(["forecast", "rtx3050-4gb"]) == 0
    assert "Speed: 321 tokens/s in the last run with this model here." in capsys.readouterr().out


def test_remedies_say_what_they_cost_in_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    too_small = ["forecast", "rtx3050-4gb", "--set", "hardware.vram_limit_mib=3000"]
    assert main(too_small) == 1  # no card: no time
    assert "costs slower steps and host memory" in capsys.readouterr().out
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    assert main(too_small) == 1
    out = capsys.readouterr().out
    assert "Any one of these reduces it (times are estimates for rows of full length):" in out
    assert re.search(r"MiB +--set model.offload_layers=\d+ +\(takes up to \d+ % longer; costs host memory\)", out)


def test_what_fits_into_a_time_is_forecast_from_the_last_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tui.data.run_time.find_last_speed_on", lambda *_: 2_000.0)
    monkeypatch.setattr("codex_tui.data.run_time.find_last_loading_time", lambda *_: 20.0)
    assert main(["forecast", "demo", "--until", "+1m"]) == 0
    assert re.search(
        r"^Time: About [12]\d\d of 600 steps \([23]\d % of the rows\) fit until ", capsys.readouterr().out, re.M
    )
    assert main(["forecast", "demo", "--hours", "2", "--until", "+1m", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["time"]
    assert told["planned_steps"] == 600
    assert 0 < told["steps"]["low"] < told["steps"]["about"] < told["steps"]["high"] < 600
    assert main(["forecast", "demo", "--set", "training.max_hours=2"]) == 0
    assert "Time: All 600 steps fit until " in capsys.readouterr().out
    assert main(["forecast", "demo"]) == 0
    assert "Time: " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--hours", "0"], "--hours takes a number above 0 and up to 10,000."),
        (["demo", "--hours", "nan"], "--hours takes a number above 0 and up to 10,000."),
        (["demo", "--until", "soon"], "soon is not a time."),
        (["rtx3050-4gb", "--card", "4096", "--hours", "8"], "names no dataset."),
    ],
)
def test_a_wrong_time_and_missing_rows_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forecast", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_without_a_speed_what_fits_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["--hours", "8", "--dataset", "demo:zombie-waves"]
    assert main(["forecast", "rtx3050-4gb", "--card", "4096", *rows]) == 0
    assert "Time: how many steps fit is not known before the first run with this model here." in capsys.readouterr().out
    assert main(["forecast", "rtx3050-4gb", "--card", "4096", *rows, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["time"] is None


def test_a_launch_warns_of_a_time_into_which_nearly_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.data.run_time.find_last_speed_on", lambda *_: 2_000.0)
    demo = locations.shipped_profiles() / "demo.toml"
    short, long = (make_plan(demo, until=time.time() + seconds, find_model=False) for seconds in (61, 7_200))
    assert any(warning.startswith("No step fits until ") for warning in short.warnings)
    assert short.fit_note == ""
    assert long.warnings == []
    assert long.fit_note.startswith("All 600 steps fit until ")
    assert make_plan(demo, find_model=False).fit is None
