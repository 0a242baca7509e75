"""Run directories with many logged steps: finished ones, and one that a process of its own goes on writing.

`python logged_runs.py write RUN` appends two logged steps a second to RUN, through the trainer's own writer, until it
is ended.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from training.contract import events as ev
from training.contract.config import RunConfig
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.tables import Model
from training.history.recorder import Recorder

SPIKE = 9.0
"""The loss of one step, near the middle: it is on the screen only once the complete history is."""
HERTZ = 2


def finished(path: Path, steps: int) -> RunDirectory:
    """A run that is done, with `steps` logged steps and what else a run says meanwhile."""
    run = _new(path)
    encoder = msgspec.json.Encoder()
    with run.events.open("wb") as file:
        clock = time.time() - steps * 0.5
        for seq, event in enumerate(_history(steps, steps)):
            clock += 0.5 if isinstance(event, ev.Metrics) else 0.0
            event.seq, event.time = seq, round(clock, 3)
            file.write(encoder.encode(event) + b"\n")
            last = seq
        done = ev.Done(step=steps, seconds=steps * 0.5, seq=last + 1, time=round(clock, 3))
        file.write(encoder.encode(done) + b"\n")
    return run


def record(run: RunDirectory) -> RunDirectory:
    """Record the history of `run`, as the trainer's parent does meanwhile."""
    recorder = Recorder(run.path)
    recorder.poll(at_end=True)
    recorder.close()
    return run


def live(path: Path, steps: int, total: int) -> RunDirectory:
    """A run that is at `steps` of `total`; `write` goes on with it."""
    run = _new(path)
    writer = EventWriter(run.events)
    for event in _history(steps, total):
        writer.emit(event)
    writer.close()
    return run


def write(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    writer = EventWriter(run.events)
    at = run.events.read_bytes().count(b'"metrics"')
    began = time.monotonic()
    for step in range(at + 1, at + 100_000):
        writer.emit(_metrics(step, 10_000))
        writer.emit(ev.Memory(step=step, host_mib=1000.0 + step % 7))
        if step % 10 == 0:
            writer.emit(ev.Heartbeat())
        time.sleep(max(0.0, began + (step - at) / HERTZ - time.monotonic()))


def _new(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    run.create()
    profile = Profile(title="A long run", model=Model(name="demo:llama"))
    config = RunConfig(
        name=run.name,
        created=time.time(),
        profile_name="long",
        profile=profile.model_dump(mode="json"),
        dataset="demo:zombie-waves",
        python=sys.executable,
        cache=str(path.parent),
    )
    config.write(run.config)
    run.log.write_text("a run for measuring\n")
    return run


def _history(steps: int, total: int) -> Iterator[ev.Event]:
    yield ev.Started(attempt=1, pid=1)
    yield ev.Phase(name="loading", detail="demo:llama")
    yield ev.Resolved(total_steps=total, steps_per_epoch=1000, train_rows=8000, eval_rows=100)
    yield ev.Phase(name="training", total=total, unit="steps")
    spike = round(steps * 0.507)
    for step in range(1, steps + 1):
        metrics = _metrics(step, total)
        if step == spike and total == steps:
            metrics.loss = SPIKE
        yield metrics
        if step % 20 == 0:
            yield ev.Heartbeat()
        if step % max(1, total // 20) == 0:
            yield ev.Eval(step=step, eval_loss=round(_trend(step, total) + 0.15, 4), seconds=1.0)
            yield ev.Checkpoint(step=step, path=f"checkpoints/checkpoint-{step}")


def _metrics(step: int, total: int) -> ev.Metrics:
    noise = random.Random(step).random()
    return ev.Metrics(
        step=step,
        epoch=round(step / 1000, 4),
        loss=round(_trend(step, total) + 0.3 * noise, 4),
        learning_rate=2e-4 * max(0.0, 1 - step / total),
        grad_norm=round(0.5 + noise, 4),
        tokens=step * 2048,
        tokens_per_second=round(4000 + 200 * noise, 1),
    )


def _trend(step: int, total: int) -> float:
    return 2 * math.exp(-5 * step / total) + 0.4


if __name__ == "__main__":
    write(RunDirectory(sys.argv[2]))
