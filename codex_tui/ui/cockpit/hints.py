"""Which keys the cockpit's last row names: those that do something here and now."""

from __future__ import annotations

from collections.abc import Sequence

from codex_tui.ui.kit.hints import Hint


def hints(own: Sequence[Hint], pane: str, status: str, broken: str, typing: bool, zoomed: bool) -> list[Hint]:
    """First the focused pane's `own`, then the run's keys, then the ways elsewhere. A `broken` run has none."""
    if typing:
        return [*own, ("Tab", "next pane")]
    of_run: list[Hint] = []
    if status in ("preparing", "probing", "training", "evaluating", "saving", "stopping"):
        of_run.append(("s", "stop"))
    elif broken:
        pass
    elif status in ("stopped", "failed", "lost"):
        of_run.append(("r", "resume"))
    elif pane != "chat":
        of_run.append(("c", "chat"))
    return [
        *own,
        *of_run,
        ("z", "back" if zoomed else "zoom"),
        ("1-5", "panes"),
        ("i", "details"),
        ("p", "profiles"),
        ("o", "runs"),
    ]
