"""The key hints in the last row of the cockpit: only keys that do something now."""

from __future__ import annotations

from collections.abc import Sequence

from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.runs.status import name_park_key
from training.contract.control import StopLevel


def choose_hints(
    own: Sequence[Hint],
    pane: str,
    watched: WatchedRun,
    *,
    typing: bool,
    zoomed: bool,
    request: StopLevel | None = None,
) -> list[Hint]:
    """First the focused pane's `own` hints, then the run's keys, then the keys to other panes and screens. Beside the
    chart, which has many keys, those of a run that trains come first, so that a small terminal shows how to stop it.
    `request` is what the trainer does at its next step."""
    if typing:
        return [*own, ("Tab", "next pane")]
    run_keys = _list_run_keys(watched, pane, request)
    return [
        *([*run_keys, *own] if pane == "chart" and watched.works else [*own, *run_keys]),
        ("z", "back" if zoomed else "zoom"),
        ("1-5", "panes"),
        ("J", "judge"),
        ("E", "export"),
        ("i", "details"),
        ("p", "profiles"),
        ("o", "runs"),
    ]


def _list_run_keys(watched: WatchedRun, pane: str, request: StopLevel | None) -> list[Hint]:
    """A run that can't be resumed has no keys of its own, and one that can't be reached has none now."""
    if watched.liveness == "unreachable":
        return []
    if not watched.ended:
        does = name_park_key(watched.status, is_held=watched.held is not None, request=request)
        park = [("L", does)] if does else []
        return [("s", "stop"), *park] if watched.works else [*park, ("s", "end it")]
    if watched.leftovers.broken:
        return []
    if watched.status in ("stopped", "failed", "lost"):
        return [("r", "resume")]
    return [] if pane == "chat" else [("c", "chat")]
