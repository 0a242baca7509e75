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
    """Forecast the GPU memory and disk space that a run of `profile` needs on this machine now. A machine without a
    card compares it with the card in the profile's title."""
    from codex_tui.machine import forecast

    return forecast.forecast_resources(profile, path, use_title=True)


def forecast_entries(entries: Sequence[ProfileEntry]) -> dict[Path, ResourceForecast]:
    """Forecast each profile in the picker that has no problems, by its path."""
    return {entry.path: forecast_profile(entry.profile, entry.path) for entry in entries if entry.profile}
