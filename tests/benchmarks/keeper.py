"""Measures from outside what the keeper of a run costs: `python tests/benchmarks/keeper.py [--seconds 120]`.

Prints its memory (RSS, PSS and private), and its share of one core: while a trainer logs 20 steps a second, and while
the run is parked. PSS divides pages that several processes map, such as those of Python itself, by their number.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from support.config_file import write_config  # noqa: E402
from support.programs import PROGRAMS  # noqa: E402

from codex_tui.environment import build  # noqa: E402
from codex_tui.profiles.resolve import load_profile  # noqa: E402
from codex_tui.runs.follower import snapshot  # noqa: E402
from codex_tui.workers.process import trainer_environment  # noqa: E402
from training.contract.run_directory import RunDirectory  # noqa: E402

SETTLE_SECONDS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codex-tui-keeper-") as folder:
        run = RunDirectory(Path(folder) / "run")
        run.create()
        profile = load_profile(HERE.parents[1] / "profiles" / "demo.toml").model_dump(mode="json")
        write_config(run, {"version": 1, "profile": profile, "dataset": "demo:zombie_waves"})
        command = [str(build.find_python()), PROGRAMS / "steady_trainer.py", run.path]
        log = run.log.open("ab")
        with subprocess.Popen(command, env=trainer_environment(), stderr=log, stdout=log) as keeper:
            try:
                wait_for(run, "training")
                measure(keeper.pid, "training", args.seconds)
                run.request_stop("park", "You lent the card.")
                wait_for(run, "parked")
                measure(keeper.pid, "parked", args.seconds)
            finally:
                run.request_stop("save")
    return 0


def wait_for(run: RunDirectory, status: str) -> None:
    while snapshot(run).status != status:
        time.sleep(0.1)


def measure(pid: int, state: str, seconds: float) -> None:
    time.sleep(SETTLE_SECONDS)
    before, began = read_cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    share = (read_cpu_seconds(pid) - before) / (time.monotonic() - began)
    memory = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, kib = line.partition(":")
        memory[name] = int(kib.split()[0]) / 1000 * 1.024
    private = memory["Private_Clean"] + memory["Private_Dirty"]
    print(f"{state:8}  RSS {memory['Rss']:5.1f} MB  PSS {memory['Pss']:5.1f} MB  private {private:5.1f} MB  "
          f"{100 * share:.3f} % of a core over {seconds:.0f} s", flush=True)  # fmt: skip


def read_cpu_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    sys.exit(main())
