"""The state of a run as a sign and a word, in its colour."""

from __future__ import annotations

from textual.content import Content

from codex_tui.ui.kit.drawing import ACCENT, MUTED, line

# Each state has a sign and a colour beside its word, so that no meaning depends on the colour alone.
SIGNS: dict[str, tuple[str, str]] = {
    "preparing": ("○", ACCENT),
    "probing": ("◔", ACCENT),
    "training": ("●", "$success"),
    "cooling": ("◍", "$warning"),
    "evaluating": ("◐", "$success"),
    "saving": ("◒", ACCENT),
    "stopping": ("◌", "$warning"),
    "stopped": ("■", "$warning"),
    "done": ("✓", "$success"),
    "failed": ("✗", "$error"),
    "lost": ("?", "$error"),
}

ENDINGS = {"failed": "$error", "lost": "$error", "stopped": "$warning", "done": "$success"}


def status_text(status: str) -> Content:
    """The state of a run as a sign and a word, in its colour."""
    sign, style = SIGNS.get(status, ("·", MUTED))
    return line((f"{sign} {status}", f"bold {style}"))
