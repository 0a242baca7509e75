"""The key hints in the last row of the cockpit: only keys that do something now."""

from __future__ import annotations

from collections.abc import Sequence

from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.runs.status import PARK_KEY, describe_lending
from training.contract.run_directory import StopLevel


def choose_hints(
    own: Sequence[Hint],
    pane: str,
    status: str,
    broken: str,
    typing: bool,
    zoomed: bool,
    request: StopLevel | None = None,
) -> list[Hint]:
    """First the focused pane's `own` hints, then the run's keys, then the keys to other panes and screens.

    `broken` says why the run can't be resumed, "" if it can; a run that can't has no keys of its own. `request` is what
    the trainer does at its next step.
    """
    if typing:
        return [*own, ("Tab", "next pane")]
    run_keys: list[Hint] = []
    if status in ("preparing", "probing", "training", "answering", "cooling", "evaluating", "saving", "stopping"):
        run_keys.append(("s", "stop"))
        run_keys += [("L", does)] if (does := describe_lending(request)) else []
    elif status in PARK_KEY:
        run_keys += [("L", does)] if (does := PARK_KEY[status]) else []
        run_keys.append(("s", "end it"))
    elif broken:
        pass
    elif status in ("stopped", "failed", "lost"):
        run_keys.append(("r", "resume"))
    elif pane != "chat":
        run_keys.append(("c", "chat"))
    return [
        *own,
        *run_keys,
        ("z", "back" if zoomed else "zoom"),
        ("1-5", "panes"),
        ("J", "judge"),
        ("E", "export"),
        ("i", "details"),
        ("p", "profiles"),
        ("o", "runs"),
    ]
