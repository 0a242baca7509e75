"""Where the trackers of runs keep their curves, and the commands that open them. Only the folders come from the run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.environment import build
from training.contract.run_directory import RunDirectory
from training.contract.trackers import LABELS, TrackedRun, Tracker, read_tracked_runs


@dataclass(frozen=True)
class TrackerView:
    """The curves in one tracker: clean texts. `command` is "" where only the tracker's own server shows them."""

    tracker: Tracker
    label: str
    place: str
    command: str


def describe_trackers(runs: Sequence[RunDirectory]) -> list[TrackerView]:
    """Describe each tracker that has one of `runs`, once for all runs in the same place."""
    tracked = [read_tracked_runs(run) for run in runs]
    views: list[TrackerView] = []
    for tracker, label in LABELS.items():
        ours = [one[tracker] for one in tracked if tracker in one]
        if tracker == "tensorboard" and len(ours) > 1:
            with suppress(ValueError):  # a run that was edited may name a folder without its root
                ours = [TrackedRun(place=os.path.commonpath([one.place for one in ours]))]
        for one in ours:
            view = TrackerView(tracker, label, clean(one.place), "" if one.sent else clean(_make_command(tracker, one)))
            if view not in views:
                views.append(view)
    return views


def _make_command(tracker: Tracker, tracked: TrackedRun) -> str:
    match tracker:
        case "tensorboard":
            return shlex.join([_find_program("tensorboard"), "--logdir", tracked.place])
        case "trackio":
            show = shlex.join([_find_program("trackio"), "show", "--project", tracked.project])
            return f"TRACKIO_DIR={shlex.quote(tracked.place)} {show}"
        case "wandb":
            return f"{shlex.join([_find_program('wandb'), 'sync', tracked.place])}/wandb/offline-run-*"
        case "mlflow":  # codex-train has no pages of it
            ui = shlex.join(["mlflow", "ui", "--backend-store-uri", tracked.place])
            return f"MLFLOW_ALLOW_FILE_STORE=true {ui}"


def _find_program(name: str) -> str:
    """Return the program beside the trainer's Python, or its name if that has none."""
    try:
        python = build.find_named_python() or build.managed_python()
    except CodexError:
        return name
    program = Path(python).parent / name
    return str(program) if program.is_file() else name
