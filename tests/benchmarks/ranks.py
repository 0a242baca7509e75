"""Several cards: speed, memory, losses, stop and resume, and a killed rank, on one machine with NVIDIA GPUs.

    PYTHONPATH=. python tests/benchmarks/ranks.py 1 2 [4] [--shape 3b] [--batch 1] [--steps 24] [--work DIR]
    PYTHONPATH=. python tests/benchmarks/ranks.py 1 2 --pairs 3 [--batch 4]
    PYTHONPATH=. python tests/benchmarks/ranks.py --fsdp [--shape 8b]

Run it with an interpreter that has the training stack. The model has random weights and the shape of a real one; it is
loaded in 4 bits, and all rows have 2,048 tokens. Prints a JSON line for each figure:

- "speed": tokens a second with each number of cards, each with the batch of one card, and the memory of each card.
- "losses": the largest number of cards with launch.keep_batch beside one card. In the middle, one of its ranks is
  killed, and the run is resumed, stopped and resumed again. So 1 must be among the numbers.
- "killed": how long it takes until the run tells of a killed rank, and until no rank is left.

A step has four rows a card: in four passes, or with `--batch 4` in one, which leaves the CPU less to launch. With
`--pairs`, only the speed is measured, of each number of cards in turn.

With `--fsdp`, trains the shape on two cards with DDP and with FSDP, which is stopped and resumed, and prints the losses
and the memory of both.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from gpu import PROFILE, ROOT, config_of, ev_of, write_rows

from codex_tui.profiles.resolve import load_profile
from training.contract import cache
from training.contract import events as ev
from training.contract.checkpoints import ADAPTER
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.memory.forecast import Machine, forecast
from training.memory.model_shape import ModelShape

HERE = Path(__file__).resolve().parent
LENGTH, ROWS, EVAL_ROWS = 2048, 4, 6  # ROWS: of a step, on each card
WARM_UP = 4  # steps
SAVE_STEPS = 4
MIB = 2**20


class CardMemory:
    """The most MiB in use on each card beyond what was in use before."""

    def __init__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._cards = [pynvml.nvmlDeviceGetHandleByIndex(card) for card in range(pynvml.nvmlDeviceGetCount())]
        self._read: Callable[[Any], Any] = pynvml.nvmlDeviceGetMemoryInfo
        self._before = [self._read(card).used for card in self._cards]
        self.peaks = [0.0] * len(self._cards)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            for number, (card, before) in enumerate(zip(self._cards, self._before, strict=True)):
                self.peaks[number] = max(self.peaks[number], (self._read(card).used - before) / MIB)
            time.sleep(0.02)


def say(table: str, **figures: Any) -> None:
    print(json.dumps({"table": table, **figures}), flush=True)


def make_run(
    name: str, work: Path, cards: list[int], steps: int, batch: int = 1, **launch: Any
) -> tuple[RunDirectory, Profile]:
    profile = load_profile(PROFILE)
    values = profile.model_dump()
    values["hardware"] |= {"device": cards if len(cards) > 1 else cards[0], "display_reserve_mib": 0}
    values["model"] |= {"name": str(work / "model"), "max_seq_length": LENGTH}
    values["dataset"] |= {"eval_fraction": 0.01, "max_eval_rows": EVAL_ROWS}
    values["training"] |= {"max_steps": steps, "per_device_train_batch_size": batch, "warmup_steps": 2}
    values["training"] |= {"gradient_accumulation_steps": ROWS // batch}
    values["evaluation"] |= {"eval_steps": steps // 2, "sample_max_new_tokens": 8}
    values["checkpoints"] |= {"save_steps": SAVE_STEPS}
    values["launch"] |= launch
    changed = Profile.model_validate(values)
    run = RunDirectory(work / name)
    run.create()
    run.config.write_text(json.dumps(config_of(changed, str(work / "rows.jsonl"), work / "cache")))
    return run, changed


def start(run: RunDirectory) -> subprocess.Popen[bytes]:
    with run.log.open("ab") as log:
        environ = {**os.environ, cache.VARIABLE: str(run.path.parent / "cache")}
        return subprocess.Popen([sys.executable, "-m", "training", str(run.path)], stdout=log, stderr=log, env=environ)


def finish(run: RunDirectory, process: subprocess.Popen[bytes], last: type[ev.Event] = ev.Done) -> None:
    code = process.wait()
    if not isinstance(events(run)[-1], last):
        logs = [path.read_text()[-3000:] for path in run.path.glob("*.log")]
        sys.exit("\n".join([f"{run.name} ended with {code}: {events(run)[-1]}", *logs]))


def events(run: RunDirectory) -> list[Any]:
    return list(ev_of(run)) if run.events.exists() else []


def losses(run: RunDirectory) -> dict[int, float]:
    return {event.step: event.loss for event in events(run) if isinstance(event, ev.Metrics)}


def wait_for_step(run: RunDirectory, process: subprocess.Popen[bytes], step: int) -> None:
    while process.poll() is None and max(losses(run), default=0) < step:
        time.sleep(0.05)


def measure(work: Path, cards: list[int], args: argparse.Namespace, memory: CardMemory, turn: int = 0) -> RunDirectory:
    """Train on `cards`, each with the batch of one card."""
    began = time.monotonic()
    run, profile = make_run(f"speed-{len(cards)}-{turn}", work, cards, args.steps, args.batch, keep_batch=False)
    finish(run, start(run))
    seen = events(run)
    rates = [e.tokens_per_second for e in seen if isinstance(e, ev.Metrics) and e.step > WARM_UP]
    probe = next(e for e in seen if isinstance(e, ev.Probe))
    shape = ModelShape.from_config(json.loads((work / "model" / "config.json").read_text()))
    parts = forecast(profile, shape, Machine(expandable_segments=True))
    peaks = [e for e in seen if isinstance(e, ev.Memory)]
    say(
        "speed",
        cards=len(cards),
        batch=args.batch,
        tokens_per_second=round(statistics.median(rates), 1),
        lowest=min(rates),
        highest=max(rates),
        device_mib=[round(memory.peaks[card]) for card in cards],
        forecast_mib=round(parts.device_mib),
        forecast_with_its_context_mib=probe.forecast_mib,
        probe_reserved_mib=probe.peak_reserved_mib,
        peak_reserved_mib=max((e.peak_reserved_mib or 0 for e in peaks), default=None),
        forecast_reserved_mib=round(parts.reserved_mib),
        context_mib=probe.context_mib,
        seconds=round(time.monotonic() - began),
    )
    return run


def compare(work: Path, cards: list[int], steps: int, one: RunDirectory) -> None:
    """Train on all `cards` with the batch kept, through a kill and a stop."""
    run, _ = make_run(f"kept-{len(cards)}", work, cards, steps)
    process = start(run)
    wait_for_step(run, process, SAVE_STEPS + 2)
    identity = run.read_process()
    assert identity is not None
    ranks = [each for each in psutil.Process(identity.pid).children() if "rank" in each.cmdline()]
    killed = next(each for each in ranks if each.environ()["RANK"] == "1")
    began = time.monotonic()
    killed.send_signal(signal.SIGKILL)
    while not any(isinstance(event, ev.Failed) for event in events(run)) and process.poll() is None:
        time.sleep(0.01)
    told = time.monotonic() - began
    finish(run, process, ev.Failed)
    left = [each.pid for each in ranks if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    say("killed", told_seconds=round(told, 2), ended_seconds=round(time.monotonic() - began, 2), ranks_left=left,
        message=events(run)[-1].message)  # fmt: skip
    process = start(run)
    wait_for_step(run, process, 2 * SAVE_STEPS + 2)
    began = time.monotonic()
    run.request_stop("save")
    finish(run, process, ev.Stopped)
    say("stopped", step=events(run)[-1].step, seconds=round(time.monotonic() - began, 2))
    finish(run, start(run))
    resumed = [event.resume_step for event in events(run) if isinstance(event, ev.Started)]
    mine, theirs = losses(run), losses(one)
    differences = [abs(mine[step] - theirs[step]) / theirs[step] for step in theirs]
    say(
        "losses",
        cards=len(cards),
        resumed_from=resumed,
        first=[theirs[1], mine[1]],
        last=[theirs[steps], mine[steps]],
        largest_relative_difference=max(differences),
        mean_relative_difference=statistics.mean(differences),
        eval_losses=[[e.eval_loss for e in events(each) if isinstance(e, ev.Eval)] for each in (one, run)],
    )


def write_model(shape: str, model: Path) -> None:
    began = time.monotonic()
    subprocess.run([sys.executable, str(HERE / "random_models.py"), shape, str(model)], check=True)
    print(f"{shape} written in {time.monotonic() - began:.0f} s", flush=True)


def compare_fsdp(work: Path, steps: int) -> None:
    """Train on two cards with DDP, and with FSDP through a stop and a resume."""
    runs = {}
    shape = ModelShape.from_config(json.loads((work / "model" / "config.json").read_text()))
    for strategy in ("ddp", "fsdp"):
        run, profile = make_run(strategy, work, [0, 1], steps, strategy=strategy)
        memory, process = CardMemory(), start(run)
        if strategy == "fsdp":
            wait_for_step(run, process, SAVE_STEPS + 2)
            run.request_stop("save")
            finish(run, process, ev.Stopped)
            run.clear_stop()
            process = start(run)
        finish(run, process)
        seen, runs[strategy] = events(run), run
        rates = [e.tokens_per_second for e in seen if isinstance(e, ev.Metrics) and e.step > WARM_UP]
        probes = [e for e in seen if isinstance(e, ev.Probe)]
        peaks = [e for e in seen if isinstance(e, ev.Memory)]
        parts = forecast(profile, shape, Machine(expandable_segments=True))
        say(
            "fsdp",
            strategy=strategy,
            tokens_per_second=statistics.median(rates),
            device_mib=[round(peak) for peak in memory.peaks],
            probe_allocated_mib=[e.peak_allocated_mib for e in probes],
            probe_reserved_mib=[e.peak_reserved_mib for e in probes],
            peak_reserved_mib=max((e.peak_reserved_mib or 0 for e in peaks), default=None),
            allocated_mib=peaks[-1].allocated_mib,
            forecast_reserved_mib=round(parts.reserved_mib),
            forecast={name: round(mib) for name, mib in parts.components.items()},
            resumed_from=[e.resume_step for e in seen if isinstance(e, ev.Started)],
            adapter_bytes=(run.adapter / ADAPTER).stat().st_size,
        )
    evaluations = [[e.eval_loss for e in events(run) if isinstance(e, ev.Eval)] for run in runs.values()]
    say("fsdp losses", **{name: losses(run) for name, run in runs.items()}, eval_losses=evaluations)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "cards",
        nargs="*",
        type=int,
        default=[1, 2],
        help="the numbers of cards, with 1 among them unless there is --pairs (default: 1 2)",
    )
    parser.add_argument("--shape", default=None, help="3b; with --fsdp 8b")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, choices=[1, 2, 4], default=1, help="rows of a pass")
    parser.add_argument("--pairs", type=int, default=None, help="turns of each number of cards")
    parser.add_argument("--fsdp", action="store_true")
    parser.add_argument("--work", type=Path, default=None, help="a folder with room for the model")
    args = parser.parse_args()
    args.cards = list(dict.fromkeys(args.cards))
    if min(*args.cards, 1 if args.pairs is None else args.pairs) < 1:
        parser.error("the number of cards and that of turns is at least 1")
    if not args.fsdp and args.pairs is None and (min(args.cards) != 1 or len(args.cards) == 1):
        parser.error(
            "give 1 and a larger number of cards, because the losses are compared with those of one card; or measure "
            "only the speed, of any number of cards, with --pairs"
        )
    return args


def main() -> None:
    args = read_arguments()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        work = Path(temporary)
        write_model(args.shape or ("8b" if args.fsdp else "3b"), work / "model")
        write_rows(work / "rows.jsonl", max(args.cards) * ROWS * args.steps + 2 * EVAL_ROWS, LENGTH)
        if args.fsdp:
            compare_fsdp(work, args.steps)
            return
        if args.pairs is not None:
            for turn in range(args.pairs):
                for cards in args.cards:
                    measure(work, [*range(cards)], args, CardMemory(), turn)
            return
        *small, largest = sorted(args.cards)
        if sum(small) <= largest:  # on cards of their own they don't disturb each other
            memory = CardMemory()
            firsts = [sum(small[:place]) for place in range(len(small))]
            with ThreadPoolExecutor() as pool:
                jobs = [
                    pool.submit(measure, work, [*range(first, first + cards)], args, memory)
                    for first, cards in zip(firsts, small, strict=True)
                ]
            one = jobs[0].result()
        else:
            one, *_ = [measure(work, [*range(cards)], args, CardMemory()) for cards in small]
        measure(work, [*range(largest)], args, CardMemory())
        compare(work, [*range(largest)], args.steps, one)


if __name__ == "__main__":
    main()
