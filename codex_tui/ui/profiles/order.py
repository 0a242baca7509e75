"""The order of the profiles in the picker: first what fits this machine's card. One profile is recommended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic is imported after the first paint
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.profiles.library import ProfileEntry

Forecasts = Mapping[Path, "ResourceForecast"]

FITS, UNKNOWN, TOO_BIG, BROKEN = range(4)
CARD_TOLERANCE = 1.08  # a card of 24 GB has a little less than 24 GB of memory


def sort_entries(entries: Sequence[ProfileEntry], forecasts: Forecasts) -> list[ProfileEntry]:
    """Sort the profiles: those that fit, those without a forecast, those that are too big, those with problems.

    Among those that fit, the user's own profiles come first, then the recommended one, then the larger ones. Without a
    card, the smaller ones come first.
    """
    recommended = find_recommended(entries, forecasts)

    def key(entry: ProfileEntry) -> tuple[object, ...]:
        forecast = forecasts.get(entry.path)
        rank = _rank(entry, forecast)
        size = _measure_size(forecast) if forecast else (0.0, 0)
        if rank == FITS and forecast and forecast.card:
            size = (-size[0], size[1])
        return rank, entry.shipped, entry is not recommended, size, entry.name

    return sorted(entries, key=key)


def find_recommended(entries: Sequence[ProfileEntry], forecasts: Forecasts) -> ProfileEntry | None:
    """The shipped profile that suits this machine best. With a card, it is the one that is written for the largest card
    up to this one, and that keeps the fewest layers in host memory. Without a card, it is the smallest one."""
    suitable = [
        (entry, forecast)
        for entry in entries
        if entry.shipped and (forecast := forecasts.get(entry.path)) and _rank(entry, forecast) == FITS
    ]
    return max(suitable, key=lambda pair: _measure(pair[1]), default=(None, None))[0]


def _measure_size(forecast: ResourceForecast) -> tuple[float, int]:
    """The card that a profile is for, or else the memory that it needs; then the layers that it keeps on the host."""
    from codex_tui.machine.forecast import read_title_card

    memory = forecast.memory
    need = memory.device_mib if memory else 0.0
    return read_title_card(forecast.profile) or need, memory.offload_layers if memory else 0


def _measure(forecast: ResourceForecast) -> tuple[float, float, float]:
    """How well a profile that fits suits this machine: more is better."""
    from codex_tui.machine.forecast import read_title_card

    assert forecast.memory
    if forecast.card is None:
        return -forecast.memory.device_mib, 0, 0
    written_for = read_title_card(forecast.profile) or 0.0
    if written_for > CARD_TOLERANCE * forecast.card.total_mib:
        written_for = 0.0
    return written_for, -forecast.memory.offload_layers, forecast.memory.device_mib


def _rank(entry: ProfileEntry, forecast: ResourceForecast | None) -> int:
    if entry.problems:
        return BROKEN
    if forecast is None or forecast.memory is None:
        return UNKNOWN
    return TOO_BIG if forecast.memory.fits is False else FITS
