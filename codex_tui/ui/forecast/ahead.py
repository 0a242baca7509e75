"""Looks ahead from a thread: the driver and the model's cache take their time, and pydantic its import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_tui.machine.outlook import Outlook
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.profile import Profile


def here(profile: Profile, path: Path) -> Outlook:
    """What the profile takes on this machine now."""
    from codex_tui.machine.outlook import outlook

    return outlook(profile, path)


def of_all(entries: Sequence[ProfileEntry]) -> list[Outlook | None]:
    """One for each; None where a profile has problems."""
    return [here(entry.profile, entry.path) if entry.profile else None for entry in entries]
