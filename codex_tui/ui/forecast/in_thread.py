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
    """Forecast the GPU memory and disk space that a run of `profile` needs on this machine now."""
    from codex_tui.machine import forecast

    return forecast.forecast_resources(profile, path)


def forecast_entries(entries: Sequence[ProfileEntry]) -> list[ResourceForecast | None]:
    """Forecast each profile in the picker; None for a profile with problems."""
    return [forecast_profile(entry.profile, entry.path) if entry.profile else None for entry in entries]
