"""The start of a run: the seconds from the launch of the trainer to the end of its first step, beside a bare script.

    PYTHONPATH=. python tests/benchmarks/start.py [--pairs 5] [--rows 16000] [--python CODEX_TRAIN_PYTHON]

Both train the demo model on the CPU, and take turns, after one pair that warms the disk's cache up and is not counted.
The rows are those of the demo, repeated up to `--rows` different ones. No row's tokens are in the cache. Prints the
median of each with its CPU time, the median of the ratios, and when each phase of the trainer began.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TIMEOUT = 600.0
FIRST_STEP = "first step"
CPU = "CPU time"


def bare(arguments: list[str]) -> None:
    """The bare script, which prints the time at the end of its first step and ends."""
    import bare_unsloth

    bare_unsloth.prepare(Path(arguments[0]))
    import transformers.trainer
    import unsloth  # noqa: F401  first: it patches the libraries below
    from transformers import TrainerCallback

    class EndOfFirstStep(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            print(json.dumps({FIRST_STEP: time.time()}), flush=True)
            os._exit(0)

    transformers.trainer.DEFAULT_CALLBACKS.append(EndOfFirstStep)
    bare_unsloth.main(arguments)


def time_bare(python: Path, config: Path, output: Path) -> tuple[float, float]:
    """Run the bare script. Returns the seconds to the end of its first step, and its CPU time."""
    started, before = time.time(), os.times()
    done = subprocess.run(
        [str(python), str(Path(__file__).resolve()), "bare", str(config), str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=config.parent,  # where Unsloth leaves what it generates
        capture_output=True,
        check=True,
        timeout=TIMEOUT,
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return float(json.loads(done.stdout.splitlines()[-1])[FIRST_STEP]) - started, cpu


def time_ours(python: Path, profile: Any, rows: Path, home: Path, name: str) -> dict[str, float]:
    """Start the trainer as the launcher does. Returns when each phase began, when the first step ended, and the CPU
    time of all its processes."""
    import psutil

    from codex_tui.workers.process import trainer_environment
    from training.contract import cache
    from training.contract.run_directory import RunDirectory

    run = RunDirectory(home / name)
    run.create()
    run.config.write_text(json.dumps(make_config(profile, rows, home / "cache")))
    environ = trainer_environment() | {cache.VARIABLE: str(home / "cache")}
    shutil.rmtree(home / "cache" / "datasets", ignore_errors=True)  # the tokens of the turn before
    started = time.time()
    with run.log.open("wb") as log:
        process = subprocess.Popen(
            [str(python), "-m", "training", str(run.path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environ, cwd=run.path, start_new_session=True,
        )  # fmt: skip
    try:
        times: dict[str, float] = {}
        while FIRST_STEP not in times:
            time.sleep(0.02)
            if process.poll() is not None:
                sys.exit(run.log.read_text()[-3000:])
            times = read_times(run.events, started)
        keeper = psutil.Process(process.pid)
        return times | {CPU: sum(sum(each.cpu_times()[:4]) for each in (keeper, *keeper.children(recursive=True)))}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_times(events: Path, started: float) -> dict[str, float]:
    """When each phase first began and when the first step ended, in seconds from `started`."""
    times: dict[str, float] = {}
    for event in map(json.loads, events.read_bytes().splitlines() if events.exists() else []):
        name = {"phase": " ".join(filter(None, (event.get("name"), event.get("detail")))), "metrics": FIRST_STEP}
        if key := name.get(event["type"]):
            times.setdefault(key, round(event["time"] - started, 2))
    return times


def make_config(profile: Any, rows: Path, cache: Path) -> dict[str, Any]:
    return {"version": 1, "name": "start", "created": time.time(), "profile_name": "demo",
            "profile": profile.model_dump(mode="json"), "dataset": str(rows), "python": sys.executable,
            "cache": str(cache)}  # fmt: skip


def write_rows(path: Path, count: int) -> None:
    from training.dataset.source import DEMO_FILE

    lines = [json.loads(text) for text in DEMO_FILE.read_text().splitlines()]
    with path.open("w") as file:
        for number in range(count or len(lines)):
            row = lines[number % len(lines)]
            if number >= len(lines):
                first = next(iter(row))
                row = {**row, first: f"{number}. {row[first]}"}
            file.write(json.dumps(row) + "\n")


def main() -> None:
    if sys.argv[1:2] == ["bare"]:
        return bare(sys.argv[2:])
    from codex_tui.base import locations
    from codex_tui.environment import build
    from codex_tui.profiles.resolve import load_profile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=0, help="number of rows (default: those of the demo)")
    parser.add_argument("--python", type=Path, default=None, help="interpreter of codex-train")
    args = parser.parse_args()
    python = args.python or build.find_python()
    profile = load_profile(locations.shipped_profiles() / "demo.toml")
    with tempfile.TemporaryDirectory(prefix="codex-tui-start-") as folder:
        home = Path(folder)
        rows, config = home / "rows.jsonl", home / "config.json"
        write_rows(rows, args.rows)
        config.write_text(json.dumps(make_config(profile, rows, home / "cache")))
        ours: list[dict[str, float]] = []
        bares: list[tuple[float, float]] = []
        for pair in range(args.pairs + 1):
            times, (seconds, cpu) = (
                time_ours(python, profile, rows, home, f"run-{pair}"),
                time_bare(python, config, home / "b"),
            )
            if pair:
                ours.append(times)
                bares.append((seconds, cpu))
                print(f"pair {pair}: ours {times[FIRST_STEP]:.2f} s, bare {seconds:.2f} s", flush=True)
        ends = [times[FIRST_STEP] for times in ours]
        ratios = [end / seconds for end, (seconds, _) in zip(ends, bares, strict=True)]
        for name, figures in ("ours", [(times[FIRST_STEP], times[CPU]) for times in ours]), ("bare", bares):
            seconds, cpu = (statistics.median(each) for each in zip(*figures, strict=True))
            print(f"{name} {seconds:.2f} s ({min(figures)[0]:.2f} to {max(figures)[0]:.2f}), CPU {cpu:.2f} s")
        print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        for name in ours[0]:
            print(f"  {statistics.median(times.get(name, 0.0) for times in ours):6.2f} s  {name}")
    return None


if __name__ == "__main__":
    main()
