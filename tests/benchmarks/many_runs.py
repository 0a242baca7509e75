"""What thousands of runs cost: `python tests/benchmarks/many_runs.py [--runs 3000] [--repeats 5]`.

Lists them with `codex-tui runs`, and opens the app with three runs and with all of them in turn, in a pseudo-terminal
of 120 x 36. Each run has 200 logged steps, two checkpoints and an adapter.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import logged_runs
from probe import Probe

sys.path.append(str(Path(__file__).resolve().parents[1]))
from support.fake_checkpoint import write_checkpoint

from codex_tui.runs.announced import claim
from codex_tui.runs.summary_cache import MIN_AGE_SECONDS
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
APP = [sys.executable, "-m", "codex_tui"]
STEPS, FEW = 200, 3
FIRST_SCREEN, ALL_LISTED = r"Profiles", r"{runs} runs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3000, help="how many runs to list (3000)")
    parser.add_argument("--repeats", type=int, default=5, help="starts of each kind (5)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codex-tui-benchmark-") as folder:
        few, many = (make_home(Path(folder) / name, count) for name, count in (("few", FEW), ("many", args.runs)))
        time.sleep(MIN_AGE_SECONDS + 0.5)  # a run that has just changed is read again
        print(f"{'figure':52} {'measured':>12}   target", flush=True)
        unseen = time_start(many)[0] / time_start(few)[0]
        report("first paint, its runs never looked at", f"{unseen:.2f} x", "")
        report(f"`runs` with {args.runs:,} runs, never listed: first line", f"{time_first_line(many):.2f} s", "<= 1 s")
        clear_cache(many)
        report(f"`runs` with {args.runs:,} runs, never listed", f"{time_command(many, 'runs'):.2f} s", "")
        for command in (("runs",), ("runs", "--json")):
            seconds = statistics.median(time_command(many, *command) for _ in range(args.repeats))
            report(f"`{' '.join(command)}` with {args.runs:,} runs, listed before", f"{seconds:.2f} s", "<= 1 s")
        starts = [(time_start(few), time_start(many)) for _ in range(args.repeats)]
        wall, cpu = (
            statistics.median(many[part] for _, many in starts) / statistics.median(few[part] for few, _ in starts)
            for part in (0, 1)
        )
        figure = f"first paint of the app, {args.runs:,} runs over {FEW}"
        report(figure, f"{wall:.2f} x", f"<= 1.1 x   {cpu:.2f} x of its CPU time")
    return 0


def report(figure: str, measured: str, target: str) -> None:
    print(f"{figure:52} {measured:>12}   {target}", flush=True)


def make_home(home: Path, count: int) -> dict[str, str]:
    """Make a home with `count` copies of a finished run. Returns the environment that names it."""
    first = logged_runs.finished(home / "data" / "runs" / "run-0001", STEPS)
    first.profile.write_text("")
    first.write_process(ProcessIdentity(os.getpid(), 1.0))
    claim(first, "seen")  # else the app would open on the last run
    first.adapter.mkdir()
    (first.adapter / "adapter_config.json").write_text("{}")
    for step in (STEPS // 2, STEPS):
        write_checkpoint(first.checkpoints, step)
    for number in range(2, count + 1):
        shutil.copytree(first.path, RunDirectory(first.path.with_name(f"run-{number:04}")).path)
    return {**os.environ, "CODEX_TUI_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}


def clear_cache(env: dict[str, str]) -> None:
    shutil.rmtree(Path(env["CODEX_TUI_HOME"]) / "cache")


def time_command(env: dict[str, str], *arguments: str) -> float:
    began = time.monotonic()
    subprocess.run([*APP, *arguments], env=env, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def time_first_line(env: dict[str, str]) -> float:
    """Seconds until `runs` has printed its first run."""
    began = time.monotonic()
    with subprocess.Popen([*APP, "runs"], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.readline()
        seconds = time.monotonic() - began
        process.stdout.read()
    return seconds


def time_start(env: dict[str, str]) -> tuple[float, float]:
    """Seconds until the first paint, and the CPU time until then."""
    with Probe(APP, env=env) as probe:
        return probe.until(FIRST_SCREEN), probe.cpu_when_shown


if __name__ == "__main__":
    sys.exit(main())
