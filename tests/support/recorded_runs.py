"""Long runs whose history is recorded, and all values that a viewer reads of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from codex_tui.runs.curves import Curves
from codex_tui.runs.follower import RunFollower
from support.fake_runs import append_events
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history.columns import read_history
from training.history.recorder import Recorder


def train(first: int, last: int) -> Iterator[ev.Event]:
    noise = random.Random(first)
    for step in range(first, last + 1):
        loss, rate = None if step % 97 == 7 else noise.random(), None if step % 10 == 3 else 1 / step
        yield ev.Metrics(step=step, loss=loss, tokens=step, learning_rate=rate)
        yield ev.Memory(step=step, host_mib=1.5 + step, reserved_mib=float(step))
        if step % 50 == 0:
            yield ev.Gpu(temperature=60.0 + step / 1000)
            yield ev.Phase(name="evaluating")
            yield ev.Eval(step=step, eval_loss=noise.random())
            yield ev.Sample(step=step, prompt="a", text="b\u2028c")
            yield ev.Checkpoint(step=step, path="c")
            yield ev.Phase(name="training")
            yield ev.Heartbeat()


def start(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    run.create()
    append_events(run, ev.Started(attempt=1, pid=1), ev.Phase(name="training"))
    resolved = ev.Resolved(total_steps=900, steps_per_epoch=9, train_rows=9, eval_rows=3, changed={"a": (1, 2, "")})
    append_events(run, resolved)
    return run


def record(run: RunDirectory, *, at_end: bool = False) -> None:
    """Record as the trainer's parent does in one attempt."""
    recording = Recorder(run.path)
    recording.poll(at_end=at_end)
    recording.close()


def make_recorded_run(path: Path) -> RunDirectory:
    """A run of two attempts that is done, with a history of several chunks. The resume took back recorded points."""
    run = start(path)
    recording = Recorder(run.path)
    for first in (1, 201, 401):
        append_events(run, *train(first, first + 199))
        recording.poll()
    recording.close()
    append_events(run, ev.Started(attempt=2, pid=1, resume_step=450), ev.Phase(name="training"), *train(451, 500))
    recording = Recorder(run.path)
    recording.poll()
    append_events(run, *train(501, 900), ev.Warned(message="d"), ev.Done(step=900, seconds=3.0))
    recording.poll(at_end=True)
    recording.close()
    return run


def read_all(run: RunDirectory) -> RunFollower:
    reader = RunFollower(run)
    while not reader.complete:
        reader.poll()
    return reader


def list_values(reader: RunFollower) -> dict[str, object]:
    """All values of a run and its state, in a form in which NaN equals NaN."""
    losses = reader.watched.state.losses
    assert losses.smooth is not None  # makes the smoothed curve and the summaries
    shown = {name: repr(value) for name, value in vars(losses).items() if name != "kept"}
    return {**vars(reader.watched), **vars(reader.watched.state), "state": None, "losses": shown}


def read_without(run: RunDirectory) -> dict[str, object]:
    """All values of `run` by its events alone."""
    away = run.history.rename(run.history.with_name("away")) if run.history.exists() else None
    try:
        return list_values(read_all(run))
    finally:
        if away:
            away.rename(run.history)


def count_chunks(run: RunDirectory) -> int:
    history = read_history(run.history, run.events, values=True)
    return len(history.parts) if history else 0


def read_curves(run: RunDirectory, *, with_history: bool = True) -> dict[str, object]:
    """The curves beside the loss, read in several polls."""
    away = run.path / "away"
    if not with_history:
        run.history.rename(away)
    curves = Curves(run)
    while not curves.complete:
        curves.poll(0.0)
    if not with_history:
        away.rename(run.history)
    return {
        name: {column: repr(value) for column, value in vars(series).items() if column != "kept"}
        for name, series in curves.series.items()
    }
