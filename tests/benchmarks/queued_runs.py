"""Kills the owners of queued runs at random:
`python tests/benchmarks/queued_runs.py [--kills 40] [--seed N] [--fake [--cards 2] [--schedules 100]]`.

The demo is queued as a sweep on the CPU, with the real keeper and the real trainer. Keepers that wait, keepers of runs
that train, trainers, and both at once are killed (SIGKILL) at random, and what is lost is resumed. In the end each run
must be done, no two may have trained at once, and no attempt may have been started twice. It needs the environment
`codex-train`. With --fake, trainers only log, so that hundreds of kills take a minute. With --cards, each run is on
some of so many GPUs at random, in any order; queued runs are also moved at random; and no two that share a GPU may
train at once. Each schedule begins with an empty queue.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from support.fake_interpreter import fake_interpreter, name_in_settings  # noqa: E402
from support.kill.queued import Trial, kill_owners  # noqa: E402

from codex_tui import launcher  # noqa: E402
from codex_tui.environment import build  # noqa: E402
from codex_tui.launch_plan import make_plan  # noqa: E402
from codex_tui.profiles.library import find_profile  # noqa: E402

STEPS = 12  # of a demo run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--fake", action="store_true", help="trainers that only log")
    parser.add_argument("--cards", type=int, default=0, help="GPUs that the runs share; 0: all train on the CPU")
    parser.add_argument("--schedules", type=int, default=1)
    args = parser.parse_args()
    if args.cards and not args.fake:
        parser.error("--cards needs --fake")
    failed = 0
    for seed in range(args.seed, args.seed + args.schedules):
        began = time.monotonic()
        problems, words = run_schedule(args, seed)
        print(f"seed {seed}: {words}, {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
        for problem in problems:
            print(f"  {problem}", flush=True)
        failed += bool(problems)
    print(f"{args.schedules} schedules, {failed} failed")
    return 1 if failed else 0


def run_schedule(args: argparse.Namespace, seed: int) -> tuple[list[str], str]:
    """Return the rules that were broken, and the figures."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="codex-tui-queue-") as folder:
        os.environ |= {"CODEX_TUI_HOME": folder, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        fake = fake_interpreter(Path(folder), "queued_keeper", "20", "0.05" if not args.cards else "0.02")
        name_in_settings(fake if args.fake else build.find_python())
        overrides = {"training.max_steps": STEPS, "checkpoints.save_steps": 3}
        plans = []
        for number in range(1, args.runs + 1):
            devices = rng.sample(range(args.cards), rng.randint(1, args.cards)) if args.cards else "cpu"
            own = {"training.seed": number, "hardware.device": devices, "launch.keep_batch": False}
            plans.append(make_plan(find_profile("demo"), name=f"run-{number}", overrides=overrides | own))
        trial = Trial([launcher.launch(plan, wait=True) for plan in plans])
        kill_owners(trial, rng, args.kills, pause=0.3 if args.fake else 4)
        cards = " ".join("+".join(sorted(own)) for own in trial.cards.values())
        return trial.problems, f"{trial.describe()}, {cards}"


if __name__ == "__main__":
    sys.exit(main())
