"""The trackers: their pinned packages, who may install them, and what is said where one is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args

import pytest
from support.wheels import make_wheel, only_these_wheels

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.base.progress import ignore_progress
from codex_tui.environment import build, stack, tracker_pins, trackers
from codex_tui.environment.tracker_commands import describe_trackers
from training.contract.run_directory import RunDirectory
from training.contract.trackers import TrackedRun, Tracker, write_tracked_runs

LIST = "# [torch]\ntorch==2.13.0\n# [stack]\ntrl==1.15.0\n"


def test_the_shipped_pins_leave_the_training_stack_as_it_is() -> None:
    pins = tracker_pins.load_pins()
    assert set(pins) == set(get_args(Tracker))
    stacked = {pin.name for pin in stack.load_pins()}
    versions: dict[str, str] = {}
    for lines in pins.values():
        for name, _, version in (line.partition("==") for line in lines):
            assert version[0].isdigit() and name not in stacked
            assert versions.setdefault(name, version) == version, f"{name} has two versions"
    for tracker, packages in tracker_pins.PACKAGES.items():
        assert any(line.partition("==")[0] in packages for line in pins[tracker])


@pytest.mark.parametrize("text", ["tensorbord", "", ",", "trackio,neptune"])
def test_an_unknown_tracker_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(BadInput, match="Choose of: tensorboard, trackio, wandb, mlflow"):
        trackers.parse_trackers(text)
    assert trackers.parse_trackers(" trackio, tensorboard,trackio") == ["trackio", "tensorboard"]


@pytest.fixture
def managed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The managed environment of a small list, with a small list of trackers."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "torch", "2.13.0", files={"torch/version.py": "cuda: str | None = None\n"})
    make_wheel(wheels, "trl", "1.15.0")
    make_wheel(wheels, "tensorboard", "2.21.0", "numpy")  # a dependency that is not installed
    make_wheel(wheels, "trackio", "0.43.0")
    listed = tmp_path / "trackers.txt"
    listed.write_text("# [tensorboard]\ntensorboard==2.21.0\n# [trackio]\ntrackio==0.43.0\n")
    monkeypatch.setattr(tracker_pins, "PINS_FILE", listed)
    tracker_pins.load_pins.cache_clear()
    with only_these_wheels(wheels, LIST, tmp_path / "home", monkeypatch):
        yield build.ensure(ignore_progress)
    tracker_pins.load_pins.cache_clear()


def test_they_are_installed_and_stay_when_the_environment_is_built_again(managed: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as raised:
        trackers.require_trackers(managed, ["tensorboard", "trackio"])
    assert raised.value.message == "The profile's tracking.to names TensorBoard and Trackio, which are not installed."
    assert raised.value.hint == "Install them: codex-tui setup --with tensorboard,trackio"
    versions = trackers.ensure_trackers(managed, ["tensorboard", "trackio"], ignore_progress)
    assert versions == {"tensorboard": "2.21.0", "trackio": "0.43.0", "wandb": None, "mlflow": None}
    trackers.require_trackers(managed, ["tensorboard"])
    (tmp_path / "wheels" / "trackio-0.43.0-py3-none-any.whl").unlink()
    assert trackers.ensure_trackers(managed, ["trackio"], ignore_progress) == versions  # nothing is fetched
    make_wheel(tmp_path / "wheels", "trackio", "0.43.0")
    (locations.managed_environment() / build.STAMP).unlink()
    assert trackers.find_versions(build.ensure(ignore_progress)) == versions
    (locations.managed_environment() / build.STAMP).unlink()
    (tmp_path / "wheels" / "trackio-0.43.0-py3-none-any.whl").unlink()
    assert not trackers.find_versions(build.ensure(ignore_progress))["trackio"]  # the training stack comes first


def test_an_environment_of_the_person_is_not_changed(tmp_path: Path) -> None:
    python = tmp_path / "python"
    packages = {"mlflow-skinny": "3.0", **dict.fromkeys(("tensorboard", "trackio", "wandb", "mlflow"))}
    answer = {"python": "3.11.0", "cuda": None, "packages": packages}
    python.write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(answer))})\n")
    python.chmod(0o700)
    trackers.require_trackers(python, ["mlflow"])
    with pytest.raises(BadInput, match="TensorBoard, which is not installed") as raised:
        trackers.require_trackers(python, ["tensorboard"])
    assert raised.value.hint == f"Install it: {python} -m pip install tensorboard==2.21.0"
    with pytest.raises(BadInput, match="is yours, so nothing is installed there") as raised:
        trackers.ensure_trackers(python, ["trackio"], ignore_progress)
    assert raised.value.hint.endswith(f"{python} -m pip install trackio==0.43.0")


@pytest.mark.usefixtures("empty_home")
def test_the_commands_that_open_the_curves_quote_what_a_run_says(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        run = RunDirectory(tmp_path / name)
        run.create()
        board = TrackedRun(place=f"{run.path}/trackers/tensorboard")
        store = TrackedRun(place="/store;reboot", project="x $(id)", name=f"{name}-1")
        remote = TrackedRun(place="https://mlflow.example", project="p", sent=True)
        write_tracked_runs(run, {"tensorboard": board, "trackio": store, "mlflow": remote})
        runs.append(run)
    [board_view, store_view, remote_view] = describe_trackers(runs)
    assert board_view.command == f"tensorboard --logdir {tmp_path}"
    assert store_view.command == "TRACKIO_DIR='/store;reboot' trackio show --project 'x $(id)'"
    assert (remote_view.place, remote_view.command) == ("https://mlflow.example", "")
    assert describe_trackers(runs[:1])[0].command == f"tensorboard --logdir {tmp_path}/a/trackers/tensorboard"
    (runs[0].trackers / "runs.json").write_text('{"neptune": {"place": "/x"}}')
    assert describe_trackers(runs[:1]) == []
