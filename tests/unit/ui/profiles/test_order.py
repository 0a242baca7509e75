"""Tests of the picker's order: what fits first, and one recommended profile. The shipped profiles are forecast."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_tui.base import locations
from codex_tui.machine import forecast
from codex_tui.machine.forecast import Card, forecast_resources
from codex_tui.profiles.library import ProfileEntry, list_profiles
from codex_tui.ui.profiles.order import find_recommended, sort_entries


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    return tmp_path


def order(monkeypatch: pytest.MonkeyPatch, card_mib: float | None) -> tuple[list[str], str | None]:
    """The names of the profiles in the picker's order on a card of `card_mib`, and the recommended one."""
    card = Card("GPU", card_mib, card_mib - 300, 300) if card_mib else None
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": card)
    entries = list_profiles()
    forecasts = {e.path: forecast_resources(e.profile, e.path, use_title=True) for e in entries if e.profile}
    recommended: ProfileEntry | None = find_recommended(entries, forecasts)
    return [entry.name for entry in sort_entries(entries, forecasts)], recommended and recommended.name


@pytest.mark.parametrize(
    ("card_mib", "name"),
    [
        (2048, "demo"),
        (4096, "rtx3050-4gb"),
        (6144, "rtx4050-6gb"),
        (8188, "rtx4060-8gb"),
        (12282, "rtx3060-12gb"),
        (16384, "rtx3060-12gb"),
        (23028, "rtx4090-24gb"),  # a card of 24 GB with error correction
        (81559, "rtx4090-24gb"),
        (None, "demo"),
    ],
)
def test_the_profile_for_this_card_is_recommended_and_first(
    monkeypatch: pytest.MonkeyPatch, card_mib: float | None, name: str
) -> None:
    names, recommended = order(monkeypatch, card_mib)
    assert recommended == names[0] == name


def test_what_fits_comes_before_what_is_too_big(monkeypatch: pytest.MonkeyPatch) -> None:
    names, _ = order(monkeypatch, 4096)
    assert names == [
        "rtx3050-4gb", "rtx3050-4gb-8b", "demo",
        "rtx4050-6gb", "rtx4060-8gb", "rtx3060-12gb", "rtx4090-24gb",
    ]  # fmt: skip


def test_own_profiles_come_first_and_broken_ones_last(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = locations.user_profiles()
    folder.mkdir(parents=True)
    (folder / "a-broken.toml").write_text("[model\n")
    (folder / "z-own.toml").write_text('extends = "rtx3050-4gb"\n[lora]\nr = 8\n')
    (folder / "z-unknown.toml").write_text('[model]\nname = "someone/unknown"\n')
    names, recommended = order(monkeypatch, 4096)
    assert names[:2] == ["z-own", "rtx3050-4gb"]
    assert names[names.index("z-unknown") - 1] == "demo"
    assert names[-1] == "a-broken"
    assert recommended == "rtx3050-4gb"


def test_without_a_card_a_profile_is_compared_with_the_card_of_its_title(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": None)
    large = {entry.name: entry for entry in list_profiles()}["rtx3050-4gb-8b"]
    assert large.profile is not None
    resources = forecast_resources(large.profile, large.path, use_title=True)
    assert resources.memory is not None
    assert (resources.card, resources.memory.card_mib, resources.memory.verdict) == (None, 4096, "fits")
    assert resources.memory.offload_layers == 30
    assert not resources.memory_warning
    assert forecast_resources(large.profile, large.path).memory.verdict is None  # type: ignore[union-attr]
