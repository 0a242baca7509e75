"""The guards, fed with made-up losses and temperatures on a made-up clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.finetune import guards


def watch_losses() -> list[list[Any]]:
    """[kind of failure or None, message, steps at which a checkpoint may be saved] for each list of losses."""
    nan = float("nan")
    return [
        _watch([2.0] * 12 + [nan] * 3),
        _watch([2.0, nan, 2.0, nan, nan, 2.0]),
        _watch([nan], max_bad_steps=1),
        _watch([2.0] * 12 + [90.0, 95.0, 99.0, 99.0]),
        _watch([0.01] * 200 + [0.5] * 9),
        _watch([2.0] * 3 + [0.001] * 100 + [3.9] * 5),
    ]


def _watch(losses: list[float], max_bad_steps: int = 3) -> list[Any]:
    watch, saved = guards.LossWatch(max_bad_steps), []
    for step, loss in enumerate(losses, 1):
        control = SimpleNamespace(should_save=True, should_evaluate=True)
        try:
            watch.on_log(None, SimpleNamespace(global_step=step), control, {"loss": loss})
        except TrainingFailure as failure:
            return [failure.kind, failure.message, saved]
        if control.should_save:
            saved.append(step)
    return [None, "", saved]


def pause_when_hot() -> list[list[Any]]:
    """[whether it saves, warnings, last two phases, first four temperatures, seconds] for each list of temperatures."""
    return [
        _pause([84]),
        _pause([86, 80, 78, 77, 76]),
        _pause([86, 70, 79, 76]),
        _pause([90, 89, None]),
        _pause([90], stop="save"),
        _pause([88, 80]),
        _pause([88, 86, 86, 84]),
    ]


def _pause(degrees: list[float | None], stop: str | None = None) -> list[Any]:
    """One step and the pause after it. The last temperature stays; `stop` is a stop request made before."""
    events: list[Any] = []
    left, seconds = list(degrees), 1000.0

    def sleep(duration: float) -> None:
        nonlocal seconds
        seconds += duration

    guards.time = SimpleNamespace(monotonic=lambda: seconds, sleep=sleep)
    card: Any = SimpleNamespace(read_hottest=lambda: ev.Gpu(temperature=left.pop(0) if len(left) > 1 else left[0]))
    attempt: Any = SimpleNamespace(
        events=SimpleNamespace(emit=events.append),
        warn=lambda message: events.append(ev.Warned(message=message)),
        stop=SimpleNamespace(level=stop),
        run="the run",
    )
    told: list[str] = []
    guards.tell = told.append
    cool_down = guards.CoolDown(attempt, card, 85)
    state, control = SimpleNamespace(global_step=7, max_steps=9), SimpleNamespace(should_save=False)
    cool_down.on_step_end(None, state, control)
    cool_down.on_step_begin(None, state, control)
    warnings = [event.message for event in events if isinstance(event, ev.Warned)]
    phases = [event.name for event in events if isinstance(event, ev.Phase)]
    assert told == ["the run"] * ("cooling" in phases)  # once for each pause
    temperatures = [event.temperature for event in events if isinstance(event, ev.Gpu)]
    return [control.should_save, warnings, phases[-2:], temperatures[:4], seconds - 1000]
