"""Where the trackers of a run keep its curves: the file RUN/trackers/runs.json. The trainer writes it, so that a resume
continues the same curves; the app shows it. It names folders and runs, and nothing that is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from training.contract import files
from training.contract.run_directory import RunDirectory

VARIABLE = "CODEX_TUI_TRACKERS"
"""The environment variable that names the folder for the trackers that keep many runs in one place. Without it, as for
a trainer that was started by hand, that is a folder of the run."""

Tracker = Literal["tensorboard", "trackio", "wandb", "mlflow"]
LABELS: dict[Tracker, str] = {
    "tensorboard": "TensorBoard",
    "trackio": "Trackio",
    "wandb": "Weights & Biases",
    "mlflow": "MLflow",
}


class TrackedRun(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The run in one tracker. `place` is a folder, or the address of a server that the person has set. `sent`: it is on
    another machine, or will be sent there by the tracker."""

    place: str
    project: str = ""
    name: str = ""
    id: str = ""
    sent: bool = False


TrackedRuns = dict[Tracker, TrackedRun]


def read_tracked_runs(run: RunDirectory) -> TrackedRuns:
    """Return the run in each of its trackers; {} if it has none, or if the file can't be read."""
    try:
        return msgspec.json.decode(files.read(_find_file(run)), type=TrackedRuns)
    except (OSError, ValueError, RecursionError):
        return {}


def write_tracked_runs(run: RunDirectory, tracked: TrackedRuns) -> None:
    """Replace the file. Raises OSError."""
    path = _find_file(run)
    path.parent.mkdir(exist_ok=True)
    files.write_atomically(path, msgspec.json.format(msgspec.json.encode(tracked), indent=2).decode() + "\n")


def _find_file(run: RunDirectory) -> Path:
    return run.trackers / "runs.json"
