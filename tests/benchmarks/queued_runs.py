"""Kills the owners of queued runs at random: `python tests/benchmarks/queued_runs.py [--kills 40] [--seed N] [--fake]`.

The demo is queued as a sweep on the CPU, with the real keeper and the real trainer. Keepers that wait, keepers of runs
that train, trainers, and both at once are killed (SIGKILL) at random, and what is lost is resumed. In the end each run
must be done, no two may have trained at once, and no attempt may have been started twice. It needs the environment
`codex-train`. With --fake, trainers only log, so that hundreds of kills take a minute.
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
from codex_tui.launch_series import plan_series  # noqa: E402
from codex_tui.profiles.sweep import parse_sweep  # noqa: E402

STEPS = 12  # of a demo run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--fake", action="store_true", help="trainers that only log")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    python = build.find_python()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="codex-tui-queue-") as folder:
        os.environ |= {"CODEX_TUI_HOME": folder, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        name_in_settings(fake_interpreter(Path(folder), "queued_keeper", "20", "0.05") if args.fake else python)
        seeds = ",".join(map(str, range(1, args.runs + 1)))
        overrides = {"training.max_steps": STEPS, "checkpoints.save_steps": 3, "hardware.device": "cpu"}
        series = plan_series(["demo"], parse_sweep([f"training.seed={seeds}"]), overrides=overrides)
        trial = Trial([launcher.launch(plan, wait=True) for plan in series.plans])
        kill_owners(trial, random.Random(args.seed), args.kills, pause=0.3 if args.fake else 4)
        print(f"{trial.describe()}, {(time.monotonic() - began) / 60:.1f} minutes")
        for problem in trial.problems:
            print(f"  {problem}")
    return 1 if trial.problems else 0


if __name__ == "__main__":
    sys.exit(main())
