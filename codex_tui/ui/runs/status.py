"""How the status of a run looks: its sign, word and colour."""

from __future__ import annotations

from textual.content import Content

from codex_tui.ui.kit.drawing import ACCENT, MUTED, line
from training.contract.control import StopLevel

# Each status has a sign as well as a colour, so that nobody needs to tell colours apart.
SIGNS: dict[str, tuple[str, str]] = {
    "preparing": ("○", ACCENT),
    "probing": ("◔", ACCENT),
    "training": ("●", "$success"),
    "answering": ("◑", ACCENT),
    "cooling": ("◍", "$warning"),
    "evaluating": ("◐", "$success"),
    "saving": ("◒", ACCENT),
    "stopping": ("◌", "$warning"),
    "queued": ("⋯", ACCENT),
    "parked": ("‖", "$warning"),
    "waiting": ("◷", "$warning"),
    "healing": ("✚", "$warning"),
    "unreachable": ("⊘", "$warning"),
    "stopped": ("■", "$warning"),
    "done": ("✓", "$success"),
    "failed": ("✗", "$error"),
    "lost": ("?", "$error"),
}

_PARK_KEY = {"queued": "start now", "parked": "bring it back", "waiting": "go on now", "healing": ""}
"""What the key L does to a held run; "" if it has no use, because a run that is healing goes on in a moment."""


def name_park_key(status: str, *, is_held: bool, request: StopLevel | None = None) -> str:
    """Name what the key L does to a run that has not ended, "" if nothing. `is_held`: its keeper holds it; a run that
    waits for its engine has no keeper. `request` is what a trainer does at its next step."""
    if status == "unreachable" or (status == "waiting" and not is_held):
        return ""
    if status in _PARK_KEY:
        return _PARK_KEY[status]
    return {None: "lend the card", "park": "keep training"}.get(request, "")


def format_status(status: str) -> Content:
    """Format `status` as its sign and word, in its colour: "● training"."""
    sign, style = SIGNS.get(status, ("·", MUTED))
    return line((f"{sign} {status}", f"bold {style}"))
