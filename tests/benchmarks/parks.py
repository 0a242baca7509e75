"""Parks and resumes one run again and again: `python tests/benchmarks/parks.py [--times 50] [--seed N]`.

The demo model trains on the CPU under its keeper. At random points `codex-tui park` lends the card and `resume` brings
the run back, and in the end losses, gradient norms, learning rates, evaluations and the adapter must be the same to the
last bit as those of a run that nobody disturbed. One viewer with `--headless` follows it from the first step to the
last. It needs the environment `codex-train`; 50 times take about 12 minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from support.kill import kills  # noqa: E402
from support.training_runs import events  # noqa: E402

from codex_tui import launcher, stopping  # noqa: E402
from codex_tui.environment import build  # noqa: E402
from codex_tui.runs.follower import snapshot  # noqa: E402
from training.contract.run_directory import RunDirectory  # noqa: E402

NAME = "parked"
EARLY_SHARE = 0.1  # of the parks come before the attempt has trained a step


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="codex-tui-parks-") as folder:
        tally = kills.Tally()
        user = kills.LocalUser(Path(folder) / "user", build.find_python(), tally, args.seed)
        user.profile = {**kills.PROFILE, "checkpoints.save_steps": 50, "training.max_steps": max(60, 8 * args.times)}
        os.environ["CODEX_TUI_HOME"] = str(user.home)
        undisturbed = kills.train_to_the_end(user, "undisturbed")
        parked = Parked(user, args.times)
        parked.train()
        kills.compare_with(user, NAME, undisturbed)
    print(f"\nparks                    {args.times}, {parked.early} of them before the attempt had trained a step")
    print(f"seconds to park          {describe(parked.park_seconds)}")
    print(f"seconds to the next step {describe(parked.resume_seconds)}")
    print(f"identical to the last bit {bool(tally.identical)}")
    print(f"problems                 {len(tally.problems)} in {(time.monotonic() - began) / 60:.0f} minutes")
    for problem in tally.problems:
        print(f"  {problem}")
    return 0 if tally.identical and not tally.problems else 1


def describe(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.1f}, longest {max(seconds):.1f}" if seconds else "none"


class Parked:
    """The run that is parked `times` times."""

    def __init__(self, user: kills.LocalUser, times: int) -> None:
        self.user, self.tally, self.times, self.early = user, user.tally, times, 0
        self.is_early = False  # the next park comes before the attempt has trained a step
        self.run: RunDirectory = user.run_directory(NAME)
        self.park_seconds: list[float] = []
        self.resume_seconds: list[float] = []

    def train(self) -> None:
        viewer = self.user.train(NAME)
        wait_until(lambda: self.run.read_keeper() is not None and self.run.is_trainer_alive())
        keeper = self.run.read_keeper()
        for number in range(self.times):
            self.park(number)
            self.tally.expect(self.run.read_keeper() == keeper, f"park {number}: another keeper")
            began = time.monotonic()
            launcher.resume(self.run)
            wait_until(lambda: snapshot(self.run).status not in ("parked", "stopping"))
            if self.user.rng.random() < EARLY_SHARE:
                self.is_early = True
            else:
                self.resume_seconds += self.wait_for_steps(1, began)
        output, _ = viewer.communicate(timeout=kills.PATIENCE)
        self.tally.expect(viewer.returncode == 0, f"the viewer ended with {viewer.returncode}: {output[-500:]}")
        self.tally.expect(output.count("\nparked  ") == self.times, f"the viewer saw {output.count('parked  ')} parks")
        attempts = [event["attempt"] for event in events(self.run, "started")]
        self.tally.expect(attempts == list(range(1, self.times + 2)), f"the attempts are {attempts}")

    def park(self, number: int) -> None:
        is_early, self.is_early = self.is_early, False
        if is_early:
            time.sleep(self.user.rng.uniform(0, 3))
            self.early += 1
        else:
            self.wait_for_steps(self.user.rng.randint(1, 3), time.monotonic())
        trainer, began = self.run.read_process(), time.monotonic()
        stopping.park(self.run)  # at once: the command takes some steps to start
        self.user.run_command("park", NAME)  # it waits until the card is free
        self.park_seconds.append(time.monotonic() - began)
        alive = trainer is not None and trainer.is_alive()
        self.tally.expect(not alive, f"park {number}: the trainer lives")
        watched = snapshot(self.run)
        self.tally.expect(watched.status == "parked", f"park {number}: the run is {watched.status}")
        print(f"park {number + 1}: step {watched.state.step}{' (early)' if is_early else ''}", flush=True)

    def wait_for_steps(self, steps: int, began: float) -> list[float]:
        """Wait until the attempt has trained `steps` steps. Returns the seconds since `began` in a list."""
        attempt = self.run.read_process()
        last = snapshot(self.run).state.step

        def reached() -> bool:
            state = snapshot(self.run).state
            return attempt is not None and state.attempt >= attempt.attempt and state.step >= last + steps

        wait_until(reached)
        return [time.monotonic() - began]


def wait_until(reached: Callable[[], object]) -> None:
    end = time.monotonic() + kills.PATIENCE
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
