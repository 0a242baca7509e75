"""What a probe measured is found again for the same card and whatever decides the memory, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.fake_interpreter import idle_interpreter

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.launch_plan import make_plan
from codex_tui.machine import forecast
from codex_tui.profiles.resolve import load_profile
from codex_tui.workers.process import trainer_environment
from training.contract import cache
from training.contract.profile import Profile
from training.dataset.source import DEMO_DATASET
from training.job.job import read_job
from training.memory import probes
from training.memory.forecast import Forecast
from training.memory.model_shape import shipped_configs
from training.memory.probes import Probed

CARD = "NVIDIA GeForce RTX 3050 Laptop GPU"
SHIPPED = locations.shipped_profiles() / "rtx3050-4gb.toml"
PROFILE = load_profile(SHIPPED)
TAKEN = Probed(2048, 2700.0, 310.0, 0)


def with_(**tables: dict[str, Any]) -> Profile:
    whole = PROFILE.model_dump()
    for table, fields in tables.items():
        whole[table] |= fields
    return Profile.model_validate(whole)


def test_it_holds_for_what_does_not_touch_memory_and_no_further(tmp_path: Path) -> None:
    probes.write(tmp_path, CARD, PROFILE, TAKEN)
    assert probes.read(tmp_path, CARD, PROFILE) == TAKEN
    packed = with_(training={"packing": "flatten", "gradient_accumulation_steps": 3})
    assert probes.read(tmp_path, CARD, packed) is None
    assert probes.read(tmp_path, CARD, with_(training={"packing": "pack"})) == TAKEN
    assert probes.read(tmp_path, CARD, with_(training={"learning_rate": 1e-4}, dataset={"path": "x.jsonl"})) == TAKEN
    assert probes.read(tmp_path, CARD, with_(lora={"r": 8})) is None
    assert probes.read(tmp_path, CARD, with_(model={"max_seq_length": 1024})) is None
    assert probes.read(tmp_path, CARD, with_(launch={"processes": 2})) is None
    assert probes.read(tmp_path, CARD, with_(training={"packing": "off"})) is None  # Gemma 3 then needs far less
    pair = with_(launch={"processes": 2}, model={"offload_embedding": False})
    probes.write(tmp_path, CARD, pair, TAKEN)
    assert probes.read(tmp_path, CARD, pair) == TAKEN
    assert probes.read(tmp_path, CARD, pair.with_value("launch.strategy", "fsdp")) is None
    assert probes.read(tmp_path, "H100", PROFILE) is None
    assert probes.latest(tmp_path, CARD) == TAKEN
    assert probes.latest(tmp_path, "H100") is None


def test_with_auto_it_depends_on_the_limit(tmp_path: Path) -> None:
    auto = with_(model={"offload_layers": "auto"})
    probes.write(tmp_path, CARD, auto, TAKEN)
    assert probes.read(tmp_path, CARD, auto) == TAKEN
    held = with_(model={"offload_layers": "auto"}, hardware={"vram_limit_mib": 3000})
    assert probes.read(tmp_path, CARD, held) is None
    assert probes.read(tmp_path, CARD, with_(hardware={"vram_limit_mib": 3000})) is None  # never measured at all


HUGE = '{"tokens": 1%s, "reserved_mib": 1.0, "context_mib": 1.0, "offload_layers": 0}' % ("0" * 400)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": "many"}', "\x00", HUGE])
def test_a_damaged_record_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    probes.write(tmp_path, CARD, PROFILE, TAKEN)
    [path] = (tmp_path / "probes").rglob("*.json")
    path.write_text(text)
    assert probes.read(tmp_path, CARD, PROFILE) is None
    assert probes.latest(tmp_path, CARD) is None


def test_the_next_forecast_says_measured_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": forecast.Card(CARD, 4096.0, 3800.0, 296.0))

    def told(profile: Profile, card_mib: float) -> Forecast:
        memory = forecast.forecast_resources(profile, SHIPPED, card_mib).memory
        assert memory
        return memory

    before = told(PROFILE, 4096)
    assert not before.measured
    probes.write(locations.cache_home(), CARD, PROFILE, TAKEN)
    after = told(PROFILE, 4096)
    assert after.measured
    assert after.device_mib == pytest.approx(3010, abs=1)
    other = told(with_(lora={"r": 8}), 4096)
    assert not other.measured
    assert other.components["context"] == 310  # the context is the card's, whatever runs
    assert not told(PROFILE, 6144).measured  # another card than the one here


@pytest.mark.parametrize("name", ["~/m", "./m", "../m", ".m", "ROOT/m", "ROOT/link", "~/link", PROFILE.model.name])
def test_the_app_finds_what_the_trainer_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """However the profile names the model: the launcher writes the run, the trainer its measurement, the app reads."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "app"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": forecast.Card(CARD, 4096.0, 3800.0, 296.0))
    path = tmp_path / "profiles" / "mine.toml"
    for folder in (tmp_path / "m", path.parent / "m", path.parent / ".m"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(shipped_configs()[PROFILE.model.name]))
    (tmp_path / "link").symlink_to(tmp_path / "m")
    path.write_text(f'[model]\nname = "{name.replace("ROOT", str(tmp_path))}"\n')
    profile = load_profile(path)

    run = launcher.launch(make_plan(path, dataset=DEMO_DATASET), idle_interpreter(tmp_path))
    monkeypatch.setenv(cache.VARIABLE, trainer_environment()[cache.VARIABLE])
    job = read_job(run.path)
    probes.write(job.cache, CARD, job.profile, TAKEN)
    memory = forecast.forecast_resources(profile, path, 4096).memory
    assert memory and memory.measured


def test_a_model_that_is_not_here_has_no_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("nobody/never-seen", "not a hub name!!", "./nowhere"):
        unknown = forecast.forecast_resources(with_(model={"name": name}), SHIPPED, 4096)
        assert unknown.memory is None
        assert name in unknown.reason
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"hidden_size": 64}')
    odd = forecast.forecast_resources(with_(model={"name": str(folder)}), SHIPPED, 4096)
    assert odd.memory is None
    assert "num_attention_heads" in odd.reason
