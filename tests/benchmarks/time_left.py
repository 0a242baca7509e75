"""How well a run knew its end: the time left as the cockpit shows it at several steps, against the time it then took.

    PYTHONPATH=. python tests/benchmarks/time_left.py RUN...          # of runs that are done
    PYTHONPATH=. python tests/benchmarks/time_left.py --simulate 20   # of so many invented runs of each kind
    PYTHONPATH=. python tests/benchmarks/time_left.py --train 3b [--words 5 120] [--steps 300]    # of a new run

RUN is the directory of a run. Of a resumed run, the last attempt counts. It needs no GPU: the events have all times.
--train does: it fine-tunes a model of that shape with random weights on rows whose answers have so many words, with the
evaluations, samples and checkpoints of the 4 GB profile. An error of +5 % is a time left that was 5 % too long. "probe"
is the last moment before the first step.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from statistics import fmean

from codex_tui.profiles.resolve import load_profile
from codex_tui.runs.time_left import estimate_time_left
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history import tailer
from training.history.reduce import reduce
from training.history.state import RunState

LOOKS = ("probe", 1, 5, 10, 25, 50, 100, "half")  # the steps of the attempt after which the time left is looked at
Errors = dict[str | int, float]
SIMULATED_STEPS = 2000


def measure(events: Sequence[ev.Event]) -> Errors:
    """Compare the time left at each of `LOOKS` with the time that the last attempt of `events` then took."""
    begun = max((place for place, event in enumerate(events) if isinstance(event, ev.Started)), default=0)
    end = next((event.time for event in reversed(events) if isinstance(event, ev.Done)), None)
    first = next((place for place, event in enumerate(events[begun:], begun) if isinstance(event, ev.Metrics)), None)
    if end is None or first is None:
        sys.exit("One of the runs is not done.")
    state, errors, looks, start = RunState(), {}, list(LOOKS), 0
    for place, event in enumerate(events):
        reduce(state, event)
        if isinstance(event, ev.Started):
            start = event.resume_step
        if place < begun or not looks or not state.total_steps:
            continue
        half = (state.total_steps - start) // 2
        due = {"probe": 0, "half": half}.get(str(looks[0]), looks[0])
        if looks[0] != "half" and isinstance(due, int) and due >= half:
            looks.pop(0)
        elif place == first - 1 if looks[0] == "probe" else isinstance(event, ev.Metrics) and event.step - start >= due:
            look, left = looks.pop(0), estimate_time_left(state)
            if left is not None and end > event.time:
                errors[look] = left / (end - event.time) - 1
    return errors


def simulate(kind: str, seed: int) -> list[ev.Event]:
    """Invent the events of a run of `SIMULATED_STEPS` steps of about 1 s. Its steps differ as `kind` says."""
    rng, number, now = random.Random(f"{kind} {seed}"), count(), 1e9
    sizes = [rng.lognormvariate(0, 0.6) for _ in range(SIMULATED_STEPS)] if "lengths" in kind else [1.0]
    if kind == "a few very long rows, a small card":
        sizes = [rng.choice((1.0,) * 39 + (20.0,)) for _ in range(SIMULATED_STEPS)]
    mean, events, drift = fmean(sizes), [], 0.0
    eval_steps = 250 if kind == "evaluations" else 0

    def after(seconds: float, event: ev.Event) -> None:
        nonlocal now
        now += seconds
        event.time, event.seq = now, next(number)
        events.append(event)

    def take(seconds: float) -> float:
        return seconds * rng.lognormvariate(0, 0.1)

    resolved = ev.Resolved(
        total_steps=SIMULATED_STEPS, steps_per_epoch=SIMULATED_STEPS, train_rows=4 * SIMULATED_STEPS,
        eval_rows=200 if eval_steps else 0, eval_steps=eval_steps, save_steps=500, train_tokens=1000 * SIMULATED_STEPS,
    )  # fmt: skip
    after(0, ev.Started(attempt=1, pid=1))
    after(30, resolved)
    timed = fmean(take(1.0) for _ in range(4))
    after(5, ev.Probe(tokens=2000, rows=1, step_seconds=timed, eval_seconds=take(8.0) if eval_steps else None))
    if eval_steps:
        after(0, ev.Phase(name="sampling"))
        after(6, ev.Sample(step=0, prompt="p", text="t", seconds=6.0))
    after(0, ev.Phase(name="training"))
    tokens = 0
    for step in range(1, SIMULATED_STEPS + 1):
        size = sizes[step % len(sizes)] / mean
        tokens += round(1000 * size)
        seconds = take(1.0)
        match kind:
            case "noise of each step":
                seconds = rng.lognormvariate(0, 0.25)
            case "speed changes by the minute":
                drift = 0.98 * drift + rng.gauss(0, 0.03)
                seconds *= math.exp(drift)
            case "lengths, a small card" | "a few very long rows, a small card":
                seconds *= size
            case "lengths, a large card":
                seconds *= 0.9 + 0.1 * size
            case "slow first steps":
                seconds *= {1: 20, 2: 8, 3: 3, 4: 2}.get(step, 1)
            case "a third slower from step 200 on":
                seconds *= 4 / 3 if step >= 200 else 1
        after(seconds, ev.Metrics(step=step, loss=1.0, tokens=tokens, tokens_per_second=1000.0))
        if eval_steps and step % eval_steps == 0:
            after(0, ev.Phase(name="evaluating"))
            spent = take(8.0)
            after(spent, ev.Eval(step=step, eval_loss=1.0, seconds=spent))
            answering = take(6.0)
            after(answering, ev.Sample(step=step, prompt="p", text="t", seconds=answering))
        if step % 500 == 0:
            after(0, ev.Phase(name="saving"))
            after(0.5, ev.Checkpoint(step=step, path="c", seconds=0.5))
        after(0, ev.Phase(name="training"))
    after(0.6, ev.Done(step=SIMULATED_STEPS))
    return events


KINDS = (
    "noise of each step",
    "speed changes by the minute",
    "lengths, a small card",
    "lengths, a large card",
    "a few very long rows, a small card",
    "slow first steps",
    "evaluations",
    "a third slower from step 200 on",
)


def read(path: Path) -> list[ev.Event]:
    file = path / "events.jsonl" if path.is_dir() else path
    return [event for piece in tailer.Tailer(file).slices() for event in piece.events]


def print_rows(rows: dict[str, list[Errors]], format_errors: Callable[[list[float]], str]) -> None:
    print("| run |", " | ".join(f"step {look}" if isinstance(look, int) else str(look) for look in LOOKS), "|")
    print("|---" * (len(LOOKS) + 1) + "|")
    for name, runs in rows.items():
        cells = ([errors[look] for errors in runs if look in errors] for look in LOOKS)
        print(f"| {name} |", " | ".join(format_errors(each) if each else "-" for each in cells), "|", flush=True)


def _summarize(errors: list[float]) -> str:
    sizes = [abs(error) for error in errors]
    return f"{100 * fmean(sizes):.1f}, {100 * max(sizes):.1f}"


def _simulate_all(number: int) -> Iterator[tuple[str, list[Errors]]]:
    for kind in KINDS:
        yield kind, [measure(simulate(kind, seed)) for seed in range(number)]


def train(shape: str, words: list[int], steps: int, work: Path) -> Path:
    """Fine-tune a model of `shape` with the trainer. Returns the directory of the run."""
    from gpu import PROFILE, config_of
    from gpu import train as run_trainer
    from speed import write_rows

    model, rows, run = work / shape, work / "rows.jsonl", RunDirectory(work / "run")
    subprocess.run([sys.executable, str(Path(__file__).with_name("random_models.py")), shape, str(model)], check=True)
    write_rows(rows, 4 * steps + 200, (words[0], words[1]))
    profile = load_profile(PROFILE).with_value("model.name", str(model)).with_value("training.max_steps", steps)
    run.create()
    run.config.write_text(json.dumps(config_of(profile, str(rows), work / "cache")))
    print(json.dumps(run_trainer(run)), flush=True)
    return run.path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="*", type=Path, help="a run directory, or its events.jsonl")
    parser.add_argument("--simulate", type=int, metavar="N", help="invent N runs of each kind")
    parser.add_argument("--train", metavar="SHAPE", help="train a run on this GPU: 1b, 3b or 8b")
    parser.add_argument("--words", type=int, nargs=2, default=[5, 120], metavar="N", help="of an answer")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--work", type=Path, default=None, help="a folder with room for the model")
    args = parser.parse_args()
    if args.simulate:
        print_rows(dict(_simulate_all(args.simulate)), _summarize)
        return
    if args.train:
        args.run.append(train(args.train, args.words, args.steps, Path(tempfile.mkdtemp(dir=args.work))))
    measured = defaultdict(list)
    for path in args.run:
        name = path.parent.name if path.name == "events.jsonl" else path.name
        measured[name].append(measure(read(path)))
    print_rows(measured, lambda errors: f"{100 * errors[0]:+.1f}")
    if len(args.run) > 1:
        print_rows({"all, mean and worst": [each for runs in measured.values() for each in runs]}, _summarize)


if __name__ == "__main__":
    main()
