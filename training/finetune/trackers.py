"""Passes the curves of a run on to the trackers that the profile names. No tracker can end a run, or change what is
learned: one that fails is a warning, and the random numbers stay as they were."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.config import RunConfig
from training.contract.profile import Profile
from training.contract.secrets import redact_secrets
from training.contract.trackers import LABELS, Tracker, read_tracked_runs, write_tracked_runs
from training.finetune import tracker_setup
from training.finetune.attempt import Attempt
from training.finetune.random_states import keep_random_states

MAX_REASON = 200  # characters of a tracker's own error


class Trackers(TrainerCallback):
    """Calls the callback of each tracker. With the loss, they get the speed, the memory and the pass rate from the
    run's own events, so this callback must come after Reporter."""

    def __init__(self, attempt: Attempt, callbacks: dict[Tracker, TrainerCallback], project: str, name: str) -> None:
        self._attempt = attempt
        self._callbacks = callbacks
        self._project, self._name = project, name
        self._figures: dict[str, float] = {}  # of the events since the last log
        attempt.events.listeners.append(self._on_event)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._call("on_train_begin", args, state, control, **kwargs)
        for tracker in list(self._callbacks):
            self._try(tracker, partial(self._keep_id, tracker))

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **kwargs: Any
    ) -> None:
        self._call("on_log", args, state, control, logs={**logs, **self._take_figures()}, **kwargs)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._figures:  # the pass rate, which comes after the evaluation's own log
            self._call("on_log", args, state, control, logs=self._take_figures(), model=kwargs.get("model"))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._call("on_save", args, state, control, **kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._figures:
            self._call("on_log", args, state, control, logs=self._take_figures(), model=kwargs.get("model"))
        self._call("on_train_end", args, state, control, **kwargs)

    def finish(self) -> None:
        """Let each tracker write what it has. transformers does not do that at each end of training."""
        for tracker in list(self._callbacks):
            self._try(tracker, partial(tracker_setup.finish, tracker))

    def _on_event(self, event: ev.Event) -> None:
        match event:
            case ev.Metrics():
                self._add(tokens_per_second=event.tokens_per_second)
            case ev.Memory():
                self._add(
                    gpu_reserved_mib=event.reserved_mib,
                    gpu_peak_reserved_mib=event.peak_reserved_mib,
                    gpu_used_mib=event.device_mib,
                    host_mib=event.host_mib,
                )
            case ev.PassRate():
                self._add(eval_pass_rate=event.rate)

    def _add(self, **figures: float | None) -> None:
        self._figures |= {name: value for name, value in figures.items() if value is not None}

    def _take_figures(self) -> dict[str, float]:
        figures, self._figures = self._figures, {}
        return figures

    def _call(self, event: str, args: TrainingArguments, *rest: Any, **kwargs: Any) -> None:
        args = copy.copy(args)
        args.project, args.run_name = self._project, self._name
        for tracker, callback in list(self._callbacks.items()):
            self._try(tracker, partial(getattr(callback, event), args, *rest, **kwargs))

    def _try(self, tracker: Tracker, work: Callable[[], Any]) -> None:
        try:
            with keep_random_states(of_gpus=False):
                work()
        except (Exception, SystemExit) as error:  # noqa: BLE001  a tracker never ends a run
            self._callbacks.pop(tracker, None)
            warn(self._attempt, tracker, error)

    def _keep_id(self, tracker: Tracker) -> None:
        if run_id := tracker_setup.find_run_id(tracker):
            run = self._attempt.locate_run()
            tracked = read_tracked_runs(run)
            if tracker in tracked and tracked[tracker].id != run_id:
                tracked[tracker].id = run_id
                write_tracked_runs(run, tracked)


def make_trackers(attempt: Attempt, profile: Profile, config: RunConfig) -> Trackers | None:
    """Start the trackers of the profile. Returns None if it names none, or if none of them can be used. Of several
    ranks, only rank 0 has them."""
    if not profile.tracking.to or not attempt.ranks.is_main:
        return None
    run = attempt.locate_run()
    tracked = read_tracked_runs(run)
    project = profile.tracking.project or profile.launch.name or config.profile_name
    project = re.sub(r"[^A-Za-z0-9_-]+", "-", project).strip("-") or "codex-tui"
    name = f"{run.name}-{time.strftime('%Y%m%d-%H%M%S')}"  # a later run may have the name of one that was deleted
    name = next((before.name for before in tracked.values() if before.name), name)
    callbacks: dict[Tracker, TrainerCallback] = {}
    for tracker in dict.fromkeys(profile.tracking.to):
        try:
            with keep_random_states(of_gpus=False):
                callbacks[tracker], tracked[tracker] = tracker_setup.make_callback(
                    tracker, run, tracked.get(tracker), project, name, attempt.step
                )
        except (Exception, SystemExit) as error:  # noqa: BLE001  a tracker never ends a run
            warn(attempt, tracker, error)
    if not callbacks:
        return None
    try:
        write_tracked_runs(run, tracked)
    except OSError as error:
        problem = f"{run.trackers} can't be written: {error.strerror}"
        attempt.warn(f"A resume begins new curves in the trackers, because {problem}.")
    return Trackers(attempt, callbacks, project, name)


@contextmanager
def finish_at_end(trackers: Trackers | None) -> Iterator[None]:
    """Finish `trackers` at the end, also after an error."""
    try:
        yield
    finally:
        if trackers:
            trackers.finish()


def warn(attempt: Attempt, tracker: Tracker, error: BaseException) -> None:
    if isinstance(error, ImportError | RuntimeError) and "install" in str(error):
        reason = f"it is not installed; codex-tui setup --with {tracker}"
    else:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0] if lines else ''}".removesuffix(": ")
        reason = redact_secrets(reason)[:MAX_REASON]
    attempt.warn(f"{LABELS[tracker]} gets no more of this run, which goes on ({reason}).")
