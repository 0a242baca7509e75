"""Forecasts to make in a thread: the driver is slow to answer, and pydantic and the memory model are slow to import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.profile import Profile


def forecast_profile(profile: Profile, path: Path) -> ResourceForecast:
    """What a run of `profile` will take of this machine now."""
    from codex_tui.machine import forecast

    return forecast.forecast_resources(profile, path)


def forecast_entries(entries: Sequence[ProfileEntry]) -> list[ResourceForecast | None]:
    """One forecast for each profile of the picker; None where a profile has problems."""
    return [forecast_profile(entry.profile, entry.path) if entry.profile else None for entry in entries]
