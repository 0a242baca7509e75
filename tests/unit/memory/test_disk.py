"""What a run takes of the disk, and the warning where there is less. tests/trainer/test_demo.py holds it to a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex_tui import launch_plan
from codex_tui.base import locations
from codex_tui.base.text import format_gb
from codex_tui.cli import main
from codex_tui.machine import facts, forecast
from codex_tui.profiles.resolve import load_profile
from training.memory.disk import disk_need
from training.memory.model_shape import ModelShape, shipped_configs

SHIPPED = locations.shipped_profiles() / "rtx3050-4gb.toml"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": forecast.Card("RTX", 4096.0, 3790.0, 306.0))
    return tmp_path


def need(**fields: object) -> float:
    profile = load_profile(SHIPPED, {name.replace("__", "."): value for name, value in fields.items()})
    return disk_need(profile, ModelShape.from_config(shipped_configs()[profile.model.name])).total_mib


def test_what_is_kept_and_how_large_it_is_decides() -> None:
    two, three = need(checkpoints__save_total_limit=2), need(checkpoints__save_total_limit=3)
    assert need(checkpoints__save_total_limit=4) - three == pytest.approx(three - two)
    assert need(evaluation__patience=3) == pytest.approx(three)  # the best is kept besides
    assert need(lora__r=32) > 1.7 * need(lora__r=16)
    assert need(training__optim="adamw_torch") > 1.5 * need(training__optim="adamw_8bit")
    assert need(training__optim="paged_adamw_8bit") == need(training__optim="adamw_8bit")
    assert need(training__max_steps=100_000, training__logging_steps=1) > need() + 100


def test_it_is_told_beside_the_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "rtx3050-4gb", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["disk_mib"] == pytest.approx(need(), abs=0.1)
    assert told["disk_free_mib"] > 0
    assert main(["forecast", "rtx3050-4gb"]) == 0
    text = capsys.readouterr().out
    assert f"Disk: needs {format_gb(need())}" in text and "fill up" not in text


def test_a_launch_onto_a_disk_that_would_fill_up_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = load_profile(SHIPPED)
    assert forecast.forecast_resources(profile, SHIPPED).disk_warning == ""
    monkeypatch.setattr(facts, "disk_free_gib", lambda: 0.1)
    monkeypatch.setattr(launch_plan, "find_missing_model", lambda profile, path: None)
    said = forecast.forecast_resources(profile, SHIPPED).disk_warning
    assert "rtx3050-4gb is forecast to take" in said and "0.10 GB is free in" in said
    assert main(["forecast", "rtx3050-4gb"]) == 0
    assert "The disk would fill up." in capsys.readouterr().out
    assert main(["train", "rtx3050-4gb", "--dataset", "demo:zombie-waves", "--python", "/nowhere"]) == 3
    assert f"{said} The run starts anyway." in capsys.readouterr().err


def test_of_a_model_that_is_not_known_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "disk_free_gib", lambda: 0.0)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    unknown = forecast.forecast_resources(load_profile(SHIPPED, {"model.name": "nobody/never-seen"}), SHIPPED)
    assert unknown.disk is None
    assert unknown.disk_warning == ""
