"""Makes transformers' own callbacks for the trackers that a profile names, so that nothing leaves this machine unless
the person has set it up in the environment, and so that a resumed run continues its curves."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, integrations

from training.contract.run_directory import RunDirectory
from training.contract.secrets import redact_secrets
from training.contract.trackers import VARIABLE, TrackedRun, Tracker

DEFAULTS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_DISABLE_CODE": "true",
}
"""No reports beside the curves, nothing read of this machine, and MLflow in files: a database needs more packages. A
person's own values count more."""


def make_callback(
    tracker: Tracker, run: RunDirectory, before: TrackedRun | None, project: str, name: str, step: int
) -> tuple[TrainerCallback, TrackedRun]:
    """Make the callback of `tracker`, and say where it keeps the run. `before` is what an earlier attempt said; `step`
    is the step that the run resumes from, 0 if it starts. Raises whatever the tracker raises."""
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)
    project, name = (before.project, before.name) if before else (project, name)
    match tracker:
        case "tensorboard":
            return _make_tensorboard(run, step)
        case "trackio":
            return _make_trackio(run, project, name)
        case "wandb":
            return _make_wandb(run, before, project, name)
        case "mlflow":
            return _make_mlflow(run, before, project, name)


def _make_tensorboard(run: RunDirectory, step: int) -> tuple[TrainerCallback, TrackedRun]:
    from torch.utils.tensorboard import SummaryWriter

    folder = run.trackers / "tensorboard"
    # TensorBoard then forgets the steps that an earlier attempt took after its last checkpoint.
    writer = SummaryWriter(log_dir=str(folder), purge_step=step + 1 if step or folder.exists() else None)
    return integrations.TensorBoardCallback(writer), TrackedRun(place=str(folder))


def _make_trackio(run: RunDirectory, project: str, name: str) -> tuple[TrainerCallback, TrackedRun]:
    place = os.environ.setdefault("TRACKIO_DIR", str(_find_home(run) / "trackio"))
    sent = any(os.environ.get(variable) for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"))

    class Callback(integrations.TrackioCallback):
        """Asks the Hub for nothing: Trackio wants to know the person's name there when a run begins."""

        def setup(self, *args: Any, **kwargs: Any) -> None:
            with _offline(not sent):
                super().setup(*args, **kwargs)

    return Callback(), TrackedRun(place=place, project=project, name=name, sent=sent)


def _make_wandb(
    run: RunDirectory, before: TrackedRun | None, project: str, name: str
) -> tuple[TrainerCallback, TrackedRun]:
    os.environ.pop("WANDB_DISABLED", None)
    mode = os.environ.setdefault("WANDB_MODE", "offline")
    place = os.environ.setdefault("WANDB_DIR", str(run.trackers / "wandb"))
    Path(place).mkdir(parents=True, exist_ok=True)  # else it writes to a folder for temporary files
    run_id = before.id if before and before.id else secrets.token_hex(8)
    os.environ |= {"WANDB_RUN_ID": run_id, "WANDB_RESUME": "allow"}
    project = os.environ.setdefault("WANDB_PROJECT", project)
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_CONSOLE", "off")
    sent = mode.lower() not in ("offline", "disabled", "dryrun")
    return integrations.WandbCallback(), TrackedRun(place=place, project=project, name=name, id=run_id, sent=sent)


def _make_mlflow(
    run: RunDirectory, before: TrackedRun | None, project: str, name: str
) -> tuple[TrainerCallback, TrackedRun]:
    store = _find_home(run) / "mlflow"
    place = os.environ.setdefault("MLFLOW_TRACKING_URI", store.as_uri())
    project = os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", project)
    shown = redact_secrets(place)  # it may have a password
    if before and before.id and before.place == shown:
        os.environ["MLFLOW_RUN_ID"] = before.id
        os.environ["MLFLOW_MAX_LOG_PARAMS"] = "0"  # those of the first attempt can't be changed
    sent = not place.startswith(("file:", "/", "sqlite:"))
    return integrations.MLflowCallback(), TrackedRun(place=shown, project=project, name=name, sent=sent)


def find_run_id(tracker: Tracker) -> str:
    """Return the id that MLflow has chosen for the run that is being recorded; "" for every other tracker."""
    if tracker != "mlflow":
        return ""
    import mlflow

    active = mlflow.active_run()
    return str(active.info.run_id) if active else ""


def finish(tracker: Tracker) -> None:
    """Write everything to the disk. transformers' callback does not do that at the end of a run of W&B, and no callback
    of it is called when a run fails."""
    if tracker == "wandb":
        import wandb

        wandb.finish()
    elif tracker == "trackio":
        import trackio

        if trackio.context_vars.current_run.get() is not None:
            trackio.finish()


def _find_home(run: RunDirectory) -> Path:
    """Return the folder of the trackers that compare many runs."""
    return Path(os.environ.get(VARIABLE) or run.trackers)


@contextmanager
def _offline(yes: bool) -> Iterator[None]:
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or yes
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
