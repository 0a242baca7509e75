"""The trackers that can record the curves of runs: which of them the trainer's Python has, and how to install them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, EnvironmentMissing
from codex_tui.base.progress import OnProgress
from codex_tui.environment import build, stack
from codex_tui.environment.tracker_pins import PACKAGES, install, load_pins
from codex_tui.environment.uv import Uv
from training.contract.trackers import LABELS, Tracker


def parse_trackers(text: str) -> list[Tracker]:
    """Return the trackers in a list such as "tensorboard,trackio". Raises BadInput."""
    names = list(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    known = get_args(Tracker)
    for name in names:
        if name not in known:
            raise BadInput(f"There is no tracker {name!r}.", f"Choose of: {', '.join(known)}")
    if not names:
        raise BadInput("No tracker is named.", f"Choose of: {', '.join(known)}")
    return names  # type: ignore[return-value]


def find_versions(python: Path) -> dict[Tracker, str | None]:
    """Return the version of each tracker that `python` has; None for one that is not installed. Takes 0.2 s."""
    names = [package for packages in PACKAGES.values() for package in packages]
    versions = stack.read_versions(python, names).packages
    return {
        tracker: next((version for name in packages if (version := versions[name])), None)
        for tracker, packages in PACKAGES.items()
    }


def require_trackers(python: Path, trackers: Sequence[Tracker]) -> None:
    """Raise BadInput with the command to type if `python` lacks one of `trackers`."""
    if not trackers:
        return
    versions = find_versions(python)
    if missing := [tracker for tracker in dict.fromkeys(trackers) if versions[tracker] is None]:
        labels = " and ".join(LABELS[tracker] for tracker in missing)
        verb = "is" if len(missing) == 1 else "are"
        hint = f"Install {'it' if len(missing) == 1 else 'them'}: {format_install(python, missing)}"
        raise BadInput(f"The profile's tracking.to names {labels}, which {verb} not installed.", hint)


def format_install(python: Path, trackers: Iterable[Tracker]) -> str:
    """Return the command that installs `trackers` into the environment of `python`. Nothing but the person's own pip
    changes an environment that is theirs."""
    if python == build.managed_python():
        return f"codex-tui setup --with {','.join(trackers)}"
    pins = load_pins()
    main = [pin for name in trackers for pin in pins[name] if pin.partition("==")[0] in PACKAGES[name]]
    return f"{python} -m pip install {' '.join(main)}"


def ensure_trackers(python: Path, trackers: Sequence[Tracker], report: OnProgress) -> dict[Tracker, str | None]:
    """Install those of `trackers` that `python` lacks, and return the versions of all. Raises BadInput for an
    environment that is not the managed one, EnvironmentMissing if the installation fails."""
    versions = find_versions(python)
    missing = [tracker for tracker in trackers if versions[tracker] is None]
    if not missing:
        return versions
    if python != build.managed_python():
        raise BadInput(
            f"The environment of {python} is yours, so nothing is installed there.",
            f"Install {', '.join(missing)} yourself: {format_install(python, missing)}",
        )
    root = locations.managed_environment()
    with build.hold_lock(root.with_name("codex-train.lock"), report) as lock:
        install(Uv(lock), python, missing, report)
    versions = find_versions(python)
    if left := [tracker for tracker in missing if versions[tracker] is None]:
        raise EnvironmentMissing(f"The setup did not install: {', '.join(left)}", "Run the same command again.")
    return versions
