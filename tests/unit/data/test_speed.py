"""The speed of the last run with the same model on the card that is here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.config_file import write_config

from codex_tui.base import locations
from codex_tui.data.speed import find_last_loading_time, find_last_speed, find_last_speed_on
from codex_tui.machine import forecast
from training.contract import events as ev
from training.contract.engine import EngineRecord
from training.contract.event_writer import EventWriter
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.memory.pass_size import set_pass_rows

CARD = "NVIDIA GeForce RTX 3050"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    monkeypatch.setattr(
        forecast, "read_card", lambda device: forecast.Card(CARD, 4096, 4000, 96) if device != "cpu" else None
    )


def profile(name: str = "owner/model", device: str = "auto") -> Profile:
    return Profile.model_validate({"model": {"name": name}, "hardware": {"device": device}})


def run(
    name: str,
    model: Any,
    *rates: float | None,
    device: str = f"cuda:0 ({CARD})",
    training: dict[str, Any] | None = None,
    actual: dict[str, Any] | None = None,
) -> None:
    run = RunDirectory(locations.runs_home() / name)
    run.create()
    run.profile.touch()
    asked = {"model": {"name": model}, "training": training or {}}
    write_config(run, {"profile": asked, "actual": {"training": actual or {}}})
    writer = EventWriter(run.events)
    writer.emit(ev.Started(attempt=1, pid=1))
    writer.emit(ev.Resolved(total_steps=9, steps_per_epoch=9, train_rows=9, eval_rows=0, device=device))
    for step, rate in enumerate(rates, 1):
        writer.emit(ev.Metrics(step=step, loss=1.0, tokens=step, tokens_per_second=rate))
    writer.close()
    time.sleep(0.01)  # the newest is known by its time


def test_the_newest_run_with_the_model_on_the_card() -> None:
    assert find_last_speed(profile()) is None
    run("a", "owner/model", 1, 500, 500, 500)
    run("b", "owner/model", 1, 50, 200, 50, 200)  # the first step has more to do; 80 is what its time comes to
    run("c", "owner/other", 1, 900, 900, 900)
    run("d", "owner/model", 1, 900, 900, 900, device="cpu")
    run("e", "owner/model", 1, 900, 900, 900, device="cuda:0 (Another)")
    run("f", "owner/model", 1, 900, None)
    assert find_last_speed(profile()) == pytest.approx(80)
    assert find_last_speed(profile(device="cpu")) == pytest.approx(900)
    assert find_last_speed(profile("owner/unknown")) is None
    two = profile().with_value("launch.processes", 2)
    assert find_last_speed(two) is None
    run("g", "owner/model", 1, 700, 700, 700, device=f"2 x cuda:0 ({CARD})")
    assert find_last_speed(two) == pytest.approx(700)
    assert find_last_speed(profile()) == pytest.approx(80)


def test_a_run_with_passes_of_another_size_does_not_count() -> None:
    """A pass of four rows may take hardly longer than a pass of one."""
    run("a", "owner/model", 1, 500, 500, 500, actual={"packing": "pack", "per_device_train_batch_size": 4})
    run("b", "owner/model", 1, 90, 90, 90, training={"packing": "off"}, actual={"packing": "off"})
    chosen = profile().with_value("training.packing", "pack")
    assert find_last_speed(chosen) is None
    assert find_last_speed(chosen.with_value("training.per_device_train_batch_size", 4)) == 500
    assert find_last_speed(profile()) == 500  # "auto", which is not resolved
    assert find_last_speed(profile().with_value("training.packing", "off")) == 90
    run("c", "owner/model", 1, 80, 80, 80, actual={"packing": "off", "per_device_train_batch_size": 1})
    assert find_last_speed(chosen) == pytest.approx(80)  # a model whose rows can't be packed


def test_a_flat_step_is_a_pass_of_all_its_rows() -> None:
    fields = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    run("a", "owner/model", 1, 500, 500, 500, training={"packing": "flatten"}, actual={"packing": "flatten"} | fields)
    flat = profile().with_value("training.packing", "flatten").with_value("training.per_device_train_batch_size", 2)
    assert find_last_speed(flat) == pytest.approx(500)
    assert find_last_speed(flat.with_value("training.gradient_accumulation_steps", 8)) is None
    assert find_last_speed(flat.with_value("training.packing", "pack")) is None
    assert find_last_speed(set_pass_rows(flat, 8)) == pytest.approx(500)  # the same passes by another name
    damaged = {"packing": "flatten", "per_device_train_batch_size": 8, "gradient_accumulation_steps": "many"}
    run("b", "owner/model", 1, 70, 70, 70, training={"packing": "flatten"}, actual=damaged)
    assert find_last_speed(flat) == pytest.approx(70)  # of passes whose size is not known


def test_a_run_elsewhere_counts_for_profiles_of_that_place_alone() -> None:
    for name, record in (("a", EngineRecord("ssh", host="box")), ("b", EngineRecord("slurm", job="7"))):
        run(name, "owner/model", 1, *[500 if name == "a" else 800] * 3)
        RunDirectory(locations.runs_home() / name).write_engine(record)
    assert find_last_speed(profile()) is None and find_last_loading_time(profile()) is None
    for engine, remote, rate in (("ssh", "box", 500), ("ssh", "other", None), ("slurm", None, 800)):
        there = {"model": {"name": "owner/model"}, "launch": {"engine": engine, "ssh": {"remote": remote}}}
        found = find_last_speed(Profile.model_validate(there))
        assert found == (rate and pytest.approx(rate))
        assert (find_last_loading_time(Profile.model_validate(there)) is None) == (rate is None)


def test_any_passes_count_at_a_place_whose_card_is_not_known(tmp_path: Path) -> None:
    """What "auto" chooses over there is not known here."""
    run("a", "unsloth/Llama-3.2-3B-Instruct-bnb-4bit", 1, *[500] * 3,
        training={"packing": "auto"}, actual={"packing": "pack", "per_device_train_batch_size": 4})  # fmt: skip
    RunDirectory(locations.runs_home() / "a").write_engine(EngineRecord("slurm", job="7"))
    model = {"name": "unsloth/Llama-3.2-3B-Instruct-bnb-4bit"}
    there = Profile.model_validate({"model": model, "launch": {"engine": "slurm"}})
    resources = forecast.forecast_resources(there, tmp_path / "p.toml")
    assert find_last_speed_on(resources.card, resources.resolved) == pytest.approx(500)


def test_a_pause_in_one_step_does_not_change_the_speed() -> None:
    run("a", "owner/model", 1, *[1000] * 200, 0.5, *[1000] * 200)
    assert find_last_speed(profile()) == pytest.approx(1000)


def test_a_model_beside_its_profile(tmp_path: Path) -> None:
    run("a", str(tmp_path / "profiles" / "net"), 1, 70, 70, 70)
    assert find_last_speed(profile("./net"), tmp_path / "profiles" / "p.toml") == pytest.approx(70)
    assert find_last_speed(profile("./net"), tmp_path / "elsewhere" / "p.toml") is None


def test_a_model_named_from_home_in_a_run_of_an_earlier_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run("a", "~/net", 1, 70, 70, 70)
    assert find_last_speed(profile("~/net"), tmp_path / "p.toml") == pytest.approx(70)
    assert find_last_speed(profile(str(tmp_path / "net"))) == pytest.approx(70)
    assert find_last_speed(profile("~/other"), tmp_path / "p.toml") is None


@pytest.mark.parametrize("config", ["{", "[]", '{"profile": 5}', '{"profile": {"model": []}}'])
def test_damaged_runs_do_no_harm(config: str) -> None:
    run("a", "owner/model", 1, 70, 70, 70)
    (locations.runs_home() / "a" / "config.json").write_text(config)
    assert find_last_speed(profile()) is None
