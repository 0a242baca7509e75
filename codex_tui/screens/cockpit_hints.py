"""Which keys the cockpit's last row names: those that do something here and now."""

from __future__ import annotations

from codex_tui.widgets.hints import Hint


def hints(pane: str, status: str, typing: bool, zoomed: bool) -> list[Hint]:
    """First what the focused pane knows, then the run's own keys, then the ways elsewhere."""
    if typing:
        return [
            ("Enter", "ask"),
            ("Esc", "stop / leave"),
            ("ctrl+o", "base ⇄ adapter"),
            ("ctrl+l", "clear"),
            ("Tab", "next"),
        ]
    of_pane: dict[str, list[Hint]] = {
        "chart": [("g", "log scale"), ("x", "x axis")],
        "samples": [("← →", "browse"), ("d", "dataset"), ("v", "view")],
        "chat": [("c", "ask"), ("ctrl+l", "clear")],
        "log": [("End", "follow")],
    }
    of_run: list[Hint] = []
    if status in ("preparing", "training", "evaluating", "saving", "stopping"):
        of_run.append(("s", "stop"))
    elif status in ("stopped", "failed", "lost"):
        of_run.append(("r", "resume"))
    return [
        *of_pane.get(pane, []),
        *of_run,
        ("z", "back" if zoomed else "zoom"),
        ("1-5", "panes"),
        ("i", "details"),
        ("p", "profiles"),
        ("o", "runs"),
    ]
