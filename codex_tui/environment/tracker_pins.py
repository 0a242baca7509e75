"""The pinned packages of the trackers, and their installation into an environment."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from codex_tui.base.progress import OnProgress, Progress
from codex_tui.environment.uv import Activity, Uv
from training.contract.trackers import Tracker

PINS_FILE = Path(__file__).with_name("trackers.txt")
PACKAGES: dict[Tracker, tuple[str, ...]] = {
    "tensorboard": ("tensorboard",),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "mlflow-skinny"),
}
"""The packages of which a tracker needs one."""


@functools.cache
def load_pins() -> dict[str, tuple[str, ...]]:
    """Read the pinned list: the packages of each tracker, such as "trackio==0.43.0"."""
    pins: dict[str, list[str]] = {}
    group = ""
    for line in PINS_FILE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#\s*\[([a-z]+)\]", line):
            group = heading[1]
        elif requirement := line.partition("#")[0].strip():
            pins.setdefault(group, []).append(requirement)
    return {name: tuple(lines) for name, lines in pins.items()}


def find_installed(root: Path) -> list[Tracker]:
    """Return the trackers that the virtual environment `root` has. Only looks at files."""
    found = {info.name.partition("-")[0] for info in root.glob("lib/python3*/site-packages/*.dist-info")}
    return [name for name, packages in PACKAGES.items() if any(p.replace("-", "_") in found for p in packages)]


def install(uv: Uv, python: Path, trackers: Iterable[Tracker], report: OnProgress) -> None:
    """Install the packages of `trackers`. A run that trains meanwhile is not disturbed: no package of it changes."""
    pins = sorted({pin for tracker in trackers for pin in load_pins()[tracker]})

    def on_progress(activity: Activity, elapsed: float) -> None:
        left = activity.estimate_seconds_left(elapsed)
        report(Progress("installing trackers", detail=str(activity), seconds_left=left))

    uv.install(python, ["--no-deps", *pins], on_progress)
