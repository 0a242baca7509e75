"""Trackers that fail, draw random numbers and raise SystemExit: what becomes of the run."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training.contract.config import RunConfig
from training.contract.profile import Profile
from training.finetune import sft, tracker_setup  # first: it imports Unsloth

# isort: split
import numpy
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.contract.trackers import TrackedRun, read_tracked_runs
from training.finetune import trackers
from training.finetune.ranks import Ranks


class Recording(TrainerCallback):
    """Draws random numbers at each call, and raises `error` at the log of step `fails_at`."""

    def __init__(self, error: BaseException | None = None, fails_at: int = 0) -> None:
        self.error, self.fails_at = error, fails_at
        self.logs: list[dict[str, Any]] = []
        self.ended = False

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: dict[str, Any], **_: Any) -> None:
        random.random(), numpy.random.rand(), torch.rand(1)
        if self.error and state.global_step == self.fails_at:
            raise self.error
        self.logs.append({"step": state.global_step, "run": args.run_name, "project": args.project, **logs})

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.ended = True


def fail(folder: str) -> dict[str, Any]:
    run = RunDirectory(Path(folder))
    run.create()
    broken = Recording(ValueError("disk hf_0123456789abcdefghijABCDEFGHIJ is full\nmore"), fails_at=2)
    quits, good = Recording(SystemExit("no login"), fails_at=3), Recording()
    made = {"trackio": broken, "wandb": quits, "tensorboard": good}

    def make(tracker: str, run: Any, before: TrackedRun | None, project: str, name: str, step: int) -> Any:
        random.random()
        if tracker == "mlflow":
            raise RuntimeError("MLflowCallback requires mlflow to be installed.")
        return made[tracker], TrackedRun(place="/x", name=name)

    tracker_setup.make_callback = make
    tracker_setup.finish = lambda tracker: None
    warnings: list[str] = []
    listeners: list[Any] = []
    attempt: Any = SimpleNamespace(
        ranks=Ranks(), warn=warnings.append, locate_run=lambda: run, step=0, events=SimpleNamespace(listeners=listeners)
    )
    tracking = {"to": ["mlflow", "trackio", "wandb", "tensorboard"], "project": "p"}
    profile = Profile.model_validate({"model": {"name": "demo:llama"}, "tracking": tracking})
    before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    callback = trackers.make_trackers(attempt, profile, RunConfig(profile={}, dataset=""))
    assert callback is not None
    args, state, control = SimpleNamespace(run_name="x", project="y"), TrainerState(), TrainerControl()
    with trackers.finish_at_end(callback):
        callback.on_train_begin(args, state, control)
        for step in (1, 2, 3):
            state.global_step = step
            listeners[0](ev.Metrics(step=step, tokens_per_second=10.0 * step))
            listeners[0](ev.Memory(step=step, host_mib=5.0))
            callback.on_log(args, state, control, logs={"loss": 1.0 / step})
        listeners[0](ev.PassRate(step=3, passes=1, questions=4))
        callback.on_evaluate(args, state, control)
        callback.on_train_end(args, state, control)
    again = trackers.make_trackers(attempt, profile, RunConfig(profile={}, dataset=""))
    assert again is not None
    tracked = sorted(read_tracked_runs(run))
    shutil.rmtree(run.trackers)
    run.trackers.touch()  # so that no folder can be there
    unwritten = trackers.make_trackers(attempt, profile, RunConfig(profile={}, dataset=""))
    after = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return {
        "warnings": warnings[:4],
        "unwritten": [unwritten is not None, warnings[-1]],
        "good": good.logs,
        "broken": [log["step"] for log in broken.logs],
        "quits": [log["step"] for log in quits.logs],
        "ended": [one.ended for one in (good, broken, quits)],
        "same_random_state": before == after,
        "args": [args.run_name, args.project],
        "names": [callback._name, again._name],
        "tracked": tracked,
        "no_trackers": trackers.make_trackers(attempt, profile.with_value("tracking.to", []), None) is None,  # type: ignore[arg-type]
        "sft": sft.__name__,
    }
