"""`python -m training heal RUN`: says with which event the keeper answers a run that found no GPU memory.

It prints one event as JSON: `Healed` with the changes of the next attempt, or `Failed` with the remedies that are left
to a person. It prints nothing if it knows no better than the trainer, and it changes no file. The keeper runs it as a
process of its own, because a forecast needs pydantic, which a process that waits for days should not hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from training.contract import events as ev
from training.contract.config import ConfigError, RunConfig
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.history.tailer import Tailer
from training.keeper.decisions import find_saved_step
from training.memory import pass_size
from training.memory.forecast import check_modules
from training.memory.healing import Healing, Shortage, apply, find_changes, find_healing, list_learning_remedies
from training.memory.model_config import find_config
from training.memory.model_shape import ModelShape, NoShape
from training.memory.speed import find_rates

MAX_REMEDIES = 3
CHANGES_LEARNING = "Nothing else helps without a change of what is learned."


def print_decision(run: RunDirectory) -> int:
    """Print the event. Returns 0, or 1 if config.json can't be read."""
    try:
        event = decide(run)
    except ConfigError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 1
    if event is not None:
        print(msgspec.json.encode(event).decode())  # noqa: T201
    return 0


@dataclass
class LastAttempt:
    """What the events say of the last attempt: its failure and its probe. `heals` counts those of all attempts, and
    `freed_mib` is what the last of them has freed."""

    failure: ev.Failed | None = None
    probe: ev.Probe | None = None
    heals: int = 0
    freed_mib: float = 0.0


def decide(run: RunDirectory) -> ev.Healed | ev.Failed | None:
    """Decide how the run continues after its last attempt. None if the trainer's own event says all that is known.
    Raises ConfigError."""
    _, profile = RunConfig.read_with_profile(run.config)
    attempt = _read_last_attempt(run.events)
    failure = attempt.failure
    if failure is None or failure.kind != "gpu_memory" or failure.memory is None:
        return None
    profile = profile.with_value("model.offload_layers", failure.memory.offload_layers)  # in place of "auto"
    shortage = _find_shortage(profile, failure.memory, attempt.probe, run.path)
    if shortage is None:
        return None
    if attempt.heals >= profile.keeper.max_heals:
        times = f"{attempt.heals} time{'s' if attempt.heals > 1 else ''}"
        return _fail(failure, f"The run was healed {times} already (keeper.max_heals).", shortage)
    if healing := _undo_larger_passes(profile, shortage) or find_healing(shortage, attempt.freed_mib):
        return _heal(run, profile, failure, shortage, healing)
    return _fail(failure, CHANGES_LEARNING, shortage)


def _undo_larger_passes(profile: Profile, shortage: Shortage) -> Healing | None:
    """Return to the passes of `profile` where packing = "auto" had chosen larger ones. None if that is not enough."""
    if profile.pass_rows == shortage.profile.pass_rows:
        return None
    needed, limit = shortage.forecast_mib(profile), shortage.failure.limit_mib
    if limit is not None and needed > limit:
        return None
    return Healing({pass_size.PACKING: "pack"}, round(shortage.needed_mib - needed, 1))


def _read_last_attempt(path: Path) -> LastAttempt:
    last = LastAttempt()
    for event in _read_events(path):
        match event:
            case ev.Started():
                last.failure = last.probe = None
            case ev.Probe():
                last.probe = event
            case ev.Failed():
                last.failure = event
            case ev.Healed(kind="gpu_memory"):
                last.heals += 1
                last.freed_mib = event.frees_mib
    return last


def _read_events(path: Path) -> Iterator[ev.Event]:
    for part in Tailer(path, points=True).slices():
        yield from part.events


def _find_shortage(profile: Profile, memory: ev.OutOfMemory, probe: ev.Probe | None, folder: Path) -> Shortage | None:
    """Return None if no forecast can be made for the model."""
    config = find_config(profile.model.name, profile.model.revision, folder)
    if config is None:
        return None
    try:
        shape = ModelShape.from_config(config)
        check_modules(profile, shape)
    except NoShape:
        return None
    if profile.training.packing == "auto" and memory.pass_rows > profile.pass_rows:
        profile = pass_size.set_pass_rows(profile, memory.pass_rows)
    return Shortage(profile, shape, memory, probe)


def _heal(run: RunDirectory, profile: Profile, failure: ev.Failed, shortage: Shortage, healing: Healing) -> ev.Healed:
    memory = shortage.failure
    changes = dict(healing.changes)
    changed = apply(shortage.profile, changes)
    if pass_size.PACKING not in changes:  # what "auto" had chosen stays, because it would choose otherwise now
        changes |= find_changes(profile, changed, pass_size.FIELDS)
    # "auto" chooses only on a card whose speed is known, and not with layers in host memory.
    if changed.training.packing == "auto" and not changed.model.offload_layers and find_rates(memory.card):
        changes[pass_size.PACKING] = "pack"
    return ev.Healed(
        kind="gpu_memory",
        reason=describe_failure(failure, memory),
        step=find_saved_step(run),
        failed_step=failure.step + (memory.task == "training"),
        changes={field: (profile.get_value(field), value) for field, value in changes.items()},
        frees_mib=healing.frees_mib,
        file=memory.file,
        line=memory.line,
        tokens=memory.row_tokens,
    )


def describe_failure(failure: ev.Failed, memory: ev.OutOfMemory) -> str:
    """Say in a sentence where memory ran out, and at which row."""
    place = {
        "loading": "while the model was loaded",
        "probing": "in the probe",
        "training": f"in step {failure.step + 1:,}",
        "evaluating": f"in the evaluation after step {failure.step:,}",
    }[memory.task]
    row = ""
    if memory.row_tokens:
        line = f"line {memory.line:,} of {memory.file}" if memory.line else "a row"
        row = f", at {line} with {memory.row_tokens:,} tokens"
    return f"GPU memory ran out {place}{row}."


def _fail(failure: ev.Failed, reason: str, shortage: Shortage) -> ev.Failed:
    """Return the failure with the remedies that change what is learned as its hint."""
    remedies = "; ".join(map(str, list_learning_remedies(shortage)[:MAX_REMEDIES]))
    hint = f"{reason} Set one of: {remedies}." if remedies else f"{reason} Use a smaller model or a larger card."
    return msgspec.structs.replace(failure, hint=hint, traceback="")
