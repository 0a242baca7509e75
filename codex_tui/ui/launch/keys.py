"""The keys of the launch dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_tui.ui.launch.checks import Checks

APPLY_KEY, COMPARE_KEY, NOW_KEY = "ctrl+l", "ctrl+g", "ctrl+n"


def list_keys(checks: Checks, *, is_suggesting: bool, is_counted: bool) -> list[tuple[str, str]]:
    """List the keys that do something now, each with what it does. `is_counted`: the tokens of the rows are known."""
    if is_suggesting:
        return [("↓ ↑", "choose"), ("Tab", "complete"), ("Enter", "take"), ("Esc", "cancel")]
    keys = [("Enter", "queue"), (NOW_KEY, "start anyway")] if checks.busy else [("Enter", "launch")]
    if length := checks.advised_length:
        keys += [(APPLY_KEY, f"use {length:,}" if length != checks.length else "as in the profile")]
    keys += [(COMPARE_KEY, "lengths")] if is_counted else [("Tab", "next field")]
    return [*keys, ("Esc", "cancel")]
