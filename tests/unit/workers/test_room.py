"""Whether the GPU has room for a chat."""

from __future__ import annotations

import pytest
from support.config_file import read_config, write_config
from support.fake_runs import make_run

from codex_tui.base import locations
from codex_tui.machine import forecast
from codex_tui.machine.forecast import Card
from codex_tui.profiles.resolve import load_profile
from codex_tui.workers.room import has_room_for_chat
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def run() -> RunDirectory:
    profile = load_profile(locations.shipped_profiles() / "rtx3050-4gb.toml")
    run = make_run("a")
    write_config(run, read_config(run) | {"profile": profile.model_dump(mode="json")})
    return run


@pytest.mark.parametrize(("free_mib", "has_room"), [(3790.0, True), (2000.0, False)])
def test_the_free_memory_decides(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, free_mib: float, has_room: bool
) -> None:
    card = Card("NVIDIA GeForce RTX 3050 Laptop GPU", 4096.0, free_mib, 4096.0 - free_mib)
    monkeypatch.setattr(forecast, "read_card", lambda device: card)
    assert has_room_for_chat(run) is has_room


def test_a_machine_without_a_card_has_room(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device: None)
    assert has_room_for_chat(run)


def test_a_run_whose_config_is_damaged_has_none(run: RunDirectory) -> None:
    run.config.write_text("{")
    assert not has_room_for_chat(run)
