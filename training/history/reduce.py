"""Rebuilds the state of a run from its events: `reduce` handles one event. `reduce_all` handles many and gives the same
result, but faster: it handles frequent events column by column, so that a million logged steps take about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress, count, groupby, repeat
from operator import attrgetter, eq, not_, sub
from typing import Any

from msgspec.structs import replace

from training.contract import events as ev
from training.history.points import Point, Unknown
from training.history.state import ENDED, RunState, Status


def reduce(state: RunState, event: ev.Event) -> RunState:
    """Return the state after `event`. It is the same object, changed in place: a copy would copy a million points."""
    _count_missing(state, event.seq)
    if handle := _HANDLERS.get(type(event)):
        handle(state, event)
    state.last_event_at = event.time
    return state


def reduce_all(state: RunState, events: Sequence[ev.Event]) -> RunState:
    """Return the state after all `events`, in their order. It is the same object, changed in place."""
    kinds = list(map(type, events))
    if _FREQUENT.issuperset(kinds):
        return _reduce_frequent(state, events, kinds)
    for frequent, group in groupby(events, lambda event: type(event) in _FREQUENT):
        if frequent:
            some = list(group)
            _reduce_frequent(state, some, list(map(type, some)))
        else:
            for event in group:
                reduce(state, event)
    return state


# These run a million times, so each is a C function that `map` calls without Python bytecode.
_SEQ, _STEP, _LOSS, _TIME, _TOKENS = map(attrgetter, ("seq", "step", "loss", "time", "tokens"))


def _reduce_frequent(state: RunState, events: Sequence[ev.Event], kinds: Sequence[type]) -> RunState:
    """Handle events of `_FREQUENT` types, type by type. The order between the types does not matter."""
    if not events:
        return state
    if all(map(eq, map(_SEQ, events), count(state.next_seq))):
        state.next_seq += len(events)
    else:
        for event in events:
            _count_missing(state, event.seq)
    state.last_event_at = events[-1].time
    is_logged = list(map(_LOGGED.__contains__, kinds))
    metrics: list[Any] = list(compress(events, is_logged))
    if len(metrics) < len(events):
        for event in compress(events, map(not_, is_logged)):
            if handle := _HANDLERS.get(type(event)):
                handle(state, event)
    _on_metrics(state, metrics)
    return state


def _count_missing(state: RunState, number: int) -> None:
    if number > state.next_seq:
        state.missing_events += number - state.next_seq
    state.next_seq = number + 1


def _on_metrics(state: RunState, metrics: Sequence[ev.Metrics | Point]) -> None:
    if not metrics:
        return
    state.losses.extend(
        list(map(_STEP, metrics)),
        list(map(_LOSS, metrics)),
        list(map(sub, map(_TIME, metrics), repeat(state.training_since))),
        list(map(_TOKENS, metrics)),
    )
    last = metrics[-1]
    state.step = last.step
    if isinstance(last, ev.Metrics):
        state.last = last
    if state.status in ("preparing", "probing", "answering", "cooling", "evaluating", "saving"):
        state.status = "training"


def _on_started(state: RunState, event: ev.Started) -> None:
    _on_version(state, event)
    state.status, state.reason = "preparing", ""
    state.attempt, state.pid = event.attempt, event.pid
    state.phase = state.failure = state.held = state.ended_at = state.adapter_step = None
    state.memory = state.gpu = state.fitted = None  # of a process that has ended
    state.other_gpus = []
    if state.started_at is None or state.last_event_at is None:
        state.started_at = event.time
    else:
        _count_break(state, event)
    state.losses.cut_after(event.resume_step)
    state.evals = [earlier for earlier in state.evals if earlier.step <= event.resume_step]
    state.pass_rates = [earlier for earlier in state.pass_rates if earlier.step <= event.resume_step]
    state.samples = [earlier for earlier in state.samples if earlier.step <= event.resume_step and event.resume_step]
    state.checkpoints = [earlier for earlier in state.checkpoints if earlier.step <= event.resume_step]
    state.step = state.resume_step = event.resume_step
    if state.last and state.last.step > event.resume_step:
        state.last = None
    _start_clock(state, event.time)
    state.idle_since = event.time


def _count_break(state: RunState, event: ev.Event) -> None:
    """Count the time since the last event as a break. It is negative if the clock was set back in between. What comes
    before the first attempt, such as the wait in the queue, is none: `started_at` is later."""
    if state.last_event_at is not None and state.started_at is not None:
        state.paused += event.time - state.last_event_at


def _on_version(state: RunState, event: ev.Event) -> None:
    """One attempt writes all its events in one version, so only `Started` and unknown events are checked."""
    state.version = max(state.version, event.v)


def _start_clock(state: RunState, time: float, seconds: float = 0.0) -> None:
    """Continue the count of training seconds at `time`, from `seconds` or from the value of the last point."""
    times = state.losses.times
    state.training_since = time - max(seconds, times[-1] if times else 0.0)


def _on_phase(state: RunState, event: ev.Phase) -> None:
    if event.name != "training":
        state.idle_since = event.time if state.idle_since is None else state.idle_since
    elif state.idle_since is not None:
        _start_clock(state, event.time, state.idle_since - state.training_since)
        state.idle_since = None
    state.phase = event
    if state.status not in ENDED and state.status != "stopping" and not state.held:
        state.status = _STATUS_IN.get(event.name, "preparing")


def _on_resolved(state: RunState, event: ev.Resolved) -> None:
    state.resolved, state.fitted = event, None


def apply_fit(state: RunState, event: ev.Fitted) -> None:
    """Take over the numbers of steps of `event`."""
    state.fitted = event
    if state.resolved is not None:
        names = ("total_steps", "eval_steps", "save_steps", "book_steps")
        state.resolved = replace(state.resolved, **{name: getattr(event, name) for name in names})


def _on_eval(state: RunState, event: ev.Eval) -> None:
    state.evals.append(event)


def _on_sample(state: RunState, event: ev.Sample) -> None:
    state.samples.append(event)


def _on_pass_rate(state: RunState, event: ev.PassRate) -> None:
    state.pass_rates.append(event)


def _on_memory(state: RunState, event: ev.Memory) -> None:
    state.memory = event


def _on_probe(state: RunState, event: ev.Probe) -> None:
    state.probe = event


def _on_gpu(state: RunState, event: ev.Gpu) -> None:
    if event.card:
        others = [other for other in state.other_gpus if other.card != event.card]
        state.other_gpus = sorted([*others, event], key=attrgetter("card"))
        return
    state.gpu = event
    state.gpu_history.append(event)


def _on_checkpoint(state: RunState, event: ev.Checkpoint) -> None:
    state.checkpoints.append(event)


def _on_warned(state: RunState, event: ev.Warned) -> None:
    state.warnings.append(event.message)


def _on_stopping(state: RunState, _: ev.Stopping) -> None:
    state.status = "stopping"


def _on_stopped(state: RunState, event: ev.Stopped) -> None:
    if state.held:  # the keeper wrote this event
        _count_break(state, event)
        state.held = None
    state.status, state.step, state.ended_at = "stopped", event.step, event.time
    state.reason = "Stopped on request."


def _on_done(state: RunState, event: ev.Done) -> None:
    state.status, state.step, state.ended_at = "done", event.step, event.time
    state.adapter_step, state.reason = event.adapter_step, event.reason


def _on_failed(state: RunState, event: ev.Failed) -> None:
    state.status, state.failure, state.reason, state.ended_at = "failed", event, event.message, event.time


def _on_healed(state: RunState, event: ev.Healed) -> None:
    if state.held or state.ended:  # the trainer had ended before this event
        _count_break(state, event)
    state.healed.append(event)


def _on_held(state: RunState, event: ev.Held) -> None:
    if state.held or state.ended:
        _count_break(state, event)
    state.status, state.reason, state.held = event.state, event.reason, event
    state.failure = state.ended_at = None
    state.memory = state.gpu = None  # of a process that has ended
    state.other_gpus = []


_STATUS_IN: dict[str, Status] = {
    "probing": "probing",
    "training": "training",
    "answering": "answering",
    "cooling": "cooling",
    "evaluating": "evaluating",
    "saving": "saving",
}
_HANDLERS: dict[type, Callable[[RunState, Any], None]] = {
    ev.Started: _on_started,
    ev.Phase: _on_phase,
    ev.Resolved: _on_resolved,
    ev.Fitted: apply_fit,
    ev.Metrics: lambda state, event: _on_metrics(state, [event]),
    Unknown: _on_version,
    Point: lambda state, event: _on_metrics(state, [event]),
    ev.Eval: _on_eval,
    ev.Sample: _on_sample,
    ev.PassRate: _on_pass_rate,
    ev.Memory: _on_memory,
    ev.Probe: _on_probe,
    ev.Gpu: _on_gpu,
    ev.Checkpoint: _on_checkpoint,
    ev.Warned: _on_warned,
    ev.Stopping: _on_stopping,
    ev.Stopped: _on_stopped,
    ev.Done: _on_done,
    ev.Failed: _on_failed,
    ev.Healed: _on_healed,
    ev.Held: _on_held,
}
# No handler of a frequent event reads a field that another one writes, so their order does not matter.
_LOGGED = frozenset({ev.Metrics, Point})
_FREQUENT = _LOGGED | frozenset({ev.Memory, ev.Gpu, ev.Heartbeat, ev.Sample, ev.Checkpoint, ev.Eval, ev.PassRate})
