"""What a profile will take here and now: its forecast or why there is none, the card, and what would make it fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from codex_tui.machine import forecast as machine_forecast
from codex_tui.machine.forecast import Card, NoForecast
from training.contract.profile import Profile
from training.memory.forecast import Forecast, Remedy


@dataclass(frozen=True)
class Outlook:
    """`forecast` is None where there is a `reason`; `remedies` are there only where it does not fit well,
    `disk` only where there is too little of it, in a sentence."""

    forecast: Forecast | None
    reason: str
    card: Card | None
    remedies: list[Remedy] = field(default_factory=list)
    disk: str = ""


def outlook(profile: Profile, path: Path) -> Outlook:
    """May take its time: the driver is asked, and the model's shape is read from disk."""
    card = machine_forecast.card(profile.hardware.device)
    total = card.total_mib if card else None
    found = machine_forecast.of(profile, path, total)
    disk = machine_forecast.disk_warning(profile, path)
    if isinstance(found, NoForecast):
        return Outlook(None, found.reason, card, disk=disk)
    unfit = found.verdict in ("tight", "no")
    return Outlook(found, "", card, machine_forecast.remedies_of(profile, path, total) if unfit else [], disk)
