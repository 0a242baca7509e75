"""The key hints in the last row of the list of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.runs.status import name_park_key

if TYPE_CHECKING:
    from codex_tui.runs.summary import RunSummary
    from training.contract.control import StopLevel

HINTS = (
    ("/", "filter"),
    ("s", "sort"),
    ("Space", "mark"),
    ("J", "judge"),
    ("E", "export"),
    ("n", "note"),
    ("R", "rename"),
    ("d", "delete"),
    ("c", "clean up"),
    ("Esc", "back"),
    ("p", "profiles"),
    ("ctrl+r", "refresh"),
)
FILTER_HINTS = (("Enter", "keep the filter"), ("Esc", "show all"))


def choose_hints(run: RunSummary | None, marks: int, request: StopLevel | None = None) -> list[Hint]:
    """First the keys for the picked `run` and for the number of marked runs, then those that always work. `request` is
    what its trainer does at its next step. Without a run, only the keys that need none."""
    if run is None:
        return [(key, does) for key, does in HINTS if key in ("/", "Esc", "p", "ctrl+r")]
    resume = [("r", "resume")] if run.resume_step is not None else []
    comparison = [("v", f"compare {marks}")] if marks > 1 else []
    keys: list[Hint] = []
    if run.position:
        keys = [("[ ]", "earlier, later"), ("x", "leave the queue"), ("L", name_park_key("queued", is_held=True))]
    elif not run.ended and (does := name_park_key(run.status, is_held=run.held is not None, request=request)):
        keys = [("L", does)]
    return [("Enter", "open"), *comparison, *resume, *keys, *HINTS]
