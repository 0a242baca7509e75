"""What the cockpit costs, in one run:
`python tests/benchmarks/cockpit.py [--repeats 7] [--no-training] [--link] [--short]`.

Starts are measured in a pseudo-terminal of 120 x 36, from the launch of the process until the screen shows what is
asked for, each beside a Textual hello-world in turn, so that a busy machine slows both; medians are compared. The CPU
time until then is less noisy. The training part needs the environment `codex-train` (`codex-tui setup`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import logged_runs
from probe import Probe

sys.path.append(str(Path(__file__).resolve().parents[1]))
from support.fake_interpreter import fake_interpreter

from codex_tui.runs.announced import claim
from training.contract.run_directory import RunDirectory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
APP = [sys.executable, "-m", "codex_tui"]
ATTACHED = r"smoothed \d"  # the chart's legend: the curve is drawn
COMPLETE = rf"max {logged_runs.SPIKE:g}\b"  # the loss of one step, which only the complete history has
SETTLE, IDLE, LIVE = 5.0, 30.0, 30.0  # seconds
ROUNDS = 2  # fine-tunes of each kind
STEPS = {"hundred-thousand": 100_000, "million": 1_000_000}  # that are logged, by the run's name
TRAINING = 600.0  # most seconds for one fine-tune of the demo profile


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="starts of each kind (7)")
    parser.add_argument("--no-training", action="store_true", help="leave the fine-tunes out, which take minutes")
    parser.add_argument("--link", action="store_true", help="only the bytes of a live run and of a streamed answer")
    parser.add_argument("--short", action="store_true", help="look once and briefly at shorter runs, to try the script")
    args = parser.parse_args()
    if args.short:
        shorten()
    with tempfile.TemporaryDirectory(prefix="codex-tui-benchmark-") as folder:
        home = Path(folder)
        env = {"CODEX_TUI_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
        print(f"{'figure':58} {'measured':>12}   target", flush=True)
        if not args.link:
            starts(home, env, 1 if args.short else args.repeats)
            quiet(home, env)
        for option in ("--no-low-bandwidth", "--low-bandwidth"):
            logging_run(home, env, option)
            streamed_answer(home, env, option)
        if not (args.no_training or args.link):
            training(home, env)
    return 0


def shorten() -> None:
    global SETTLE, IDLE, LIVE, ROUNDS
    SETTLE, IDLE, LIVE, ROUNDS = 0.5, 1.0, 1.0, 1
    STEPS.update({"hundred-thousand": 20_000, "million": 50_000})


def told(figure: str, measured: str, target: str) -> None:
    print(f"{figure:58} {measured:>12}   {target}", flush=True)


def starts(home: Path, env: dict[str, str], repeats: int) -> None:
    """First paint, first chart and complete history, each over the start of a hello-world."""
    runs = home / "data" / "runs"
    for name, steps in STEPS.items():
        logged_runs.record(logged_runs.finished(runs / name, steps))
        shutil.copytree(runs / name, runs / f"{name}-old", ignore=shutil.ignore_patterns("history"))
        for run in (RunDirectory(runs / name), RunDirectory(runs / f"{name}-old")):
            claim(run, "seen")  # else the app would open on the last one
    kinds = {
        "hello": ([sys.executable, str(HERE / "hello.py")], [r"Hello, world"]),
        "app": (APP, [r"Profiles"]),
        **{name: ([*APP, "attach", name], [ATTACHED, COMPLETE]) for stem in STEPS for name in (stem, f"{stem}-old")},
    }
    wall: dict[tuple[str, int], list[float]] = {}
    cpu: dict[tuple[str, int], list[float]] = {}
    for repeat in range(repeats + 1):  # the first round warms the disk's cache up
        for kind, (command, patterns) in kinds.items():
            with Probe(command, env=env) as probe:
                for index, pattern in enumerate(patterns):
                    took = probe.until(pattern)
                    if repeat:
                        wall.setdefault((kind, index), []).append(took)
                        cpu.setdefault((kind, index), []).append(probe.cpu_when_shown)
    hello, hello_cpu = statistics.median(wall["hello", 0]), statistics.median(cpu["hello", 0])
    told("start of a Textual hello-world", f"{hello:.2f} s", f"{hello_cpu * 1000:.0f} ms of CPU time")
    for figure, key, target in (
        ("first paint", ("app", 0), "<= 1.3 x"),
        ("first chart, 100,000 logged steps", ("hundred-thousand", 0), "<= 2 x"),
        ("first chart, 1,000,000 logged steps", ("million", 0), "<= 2 x"),
        ("complete history, 100,000 logged steps", ("hundred-thousand", 1), "<= 2 x"),
        ("complete history, 1,000,000 logged steps", ("million", 1), "<= 2 x"),
        ("first chart, 1,000,000 logged steps without `history`", ("million-old", 0), "<= 2 x"),
        ("complete history, 100,000 logged steps without `history`", ("hundred-thousand-old", 1), "<= 3 x"),
        ("complete history, 1,000,000 logged steps without `history`", ("million-old", 1), ""),
    ):
        measured = f"{statistics.median(wall[key]) / hello:.2f} x"
        told(figure, measured, f"{target:8} {statistics.median(cpu[key]) / hello_cpu:.2f} x of its CPU time")


def quiet(home: Path, env: dict[str, str]) -> None:
    """The cockpit on a run that has ended."""
    with Probe([*APP, "attach", "hundred-thousand"], env=env) as probe:
        probe.until(COMPLETE)
        probe.watch(SETTLE)
        sent, used = probe.watch(IDLE)
    told("idle: share of a core", f"{used:.2%}", "<= 0.5 %")
    told("idle: bytes a second to the terminal", f"{sent:.0f}", "0")


def logging_run(home: Path, env: dict[str, str], option: str) -> None:
    """The cockpit while a process of its own logs two steps a second."""
    name = f"live-{option.strip('-')}"
    run = logged_runs.live(home / "data" / "runs" / name, steps=1_000, total=10_000)
    command = [sys.executable, str(HERE / "logged_runs.py"), "write", str(run.path)]
    writer = subprocess.Popen(command, env={**os.environ, **env})
    try:
        with Probe([*APP, "attach", name, option], env=env) as probe:
            probe.until(ATTACHED)
            probe.watch(SETTLE)
            sent, used = probe.watch(LIVE)
    finally:
        writer.terminate()
        writer.wait()
    what = f"a run logs at {logged_runs.HERTZ} Hz"
    told(f"{what}, {option}: bytes a second", f"{sent:.0f}", "<= 2048" if "no" in option else "<= half")
    told(f"{what}, {option}: share of a core", f"{used:.2%}", "")


def streamed_answer(home: Path, env: dict[str, str], option: str) -> None:
    """The chat while a model answers at a laptop's pace."""
    run = logged_runs.finished(home / "data" / "runs" / f"chat-{option.strip('-')}", 100)
    python = fake_interpreter(home, "streaming_chat_worker")
    with Probe([*APP, "chat", run.name, option, "--python", str(python)], env=env) as probe:
        probe.until("Ask the model")
        probe.watch(SETTLE)
        os.write(probe.terminal, b"Tell me everything\r")
        probe.until("zombies")
        sent, _ = probe.watch(LIVE)
    told(f"an answer streams, {option}: bytes a second", f"{sent:.0f}", "" if "no" in option else "<= half")


def training(home: Path, env: dict[str, str]) -> None:
    """The demo profile with the cockpit open, and by the bare script, in turn; the less disturbed of each counts."""
    from codex_tui.environment import build

    python = build.ensure(lambda progress: None)  # before CODEX_TUI_HOME names the empty home
    os.environ["CODEX_TUI_HOME"] = str(home)
    watched, bare = [], []
    for index in range(ROUNDS):
        run = watched_run(f"watched-{index}", python, env)
        watched.append(seconds_a_step(run.events))
        bare.append(bare_seconds_a_step(python, run.config, home / f"bare-{index}"))
    told("training throughput with the cockpit open, over bare Unsloth", f"{min(bare) / min(watched):.3f}", ">= 0.98")


def watched_run(name: str, python: Path, env: dict[str, str]) -> RunDirectory:
    """A fine-tune of the demo profile that was watched from its start to its end."""
    from codex_tui.runs.library import find_run

    with Probe([*APP, "demo", "--name", name, "--python", str(python)], env=env) as probe:
        probe.until(ATTACHED, timeout=TRAINING)
        run = find_run(name)
        deadline = time.monotonic() + TRAINING
        while run.is_trainer_alive() and time.monotonic() < deadline:
            probe.watch(1.0)
    return run


def bare_seconds_a_step(python: Path, config: Path, output: Path) -> float:
    done = subprocess.run(
        [str(python), str(HERE / "bare_unsloth.py"), str(config), str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=config.parent,  # where Unsloth leaves what it generates
        capture_output=True,
        check=True,
        timeout=TRAINING,
    )
    return float(json.loads(done.stdout.splitlines()[-1])["seconds_a_step"])


def seconds_a_step(events: Path) -> float:
    """The median of steps that followed each other without an evaluation or a save between, as the bare script has."""
    lines = [json.loads(line) for line in events.read_bytes().splitlines()]
    kinds = [line for line in lines if line["type"] in ("metrics", "phase", "eval")]
    settled = kinds[len(kinds) // 5 :]  # the first steps compile and warm up
    return statistics.median(
        (after["time"] - before["time"]) / (after["step"] - before["step"])
        for before, after in pairwise(settled)
        if before["type"] == after["type"] == "metrics"
    )


if __name__ == "__main__":
    sys.exit(main())
