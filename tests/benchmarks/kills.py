"""Kills everything, at any point: `python tests/benchmarks/kills.py [--kills 200] [--seed N]`.

Runs of the demo model on the CPU are killed ten times each, and their parents, apps and second viewers too (SIGKILL),
at random points and in the middle of checkpoints, JSON files and events, then compared with one that nobody disturbed:
losses, gradient norms, learning rates, evaluations and the adapter must be the same to the last bit. Chat workers,
set-ups and pushes to a Hub on the loopback are killed as well, and a trainer that only logs, with the keeper that
records its history. Keepers and trainers of runs that park, are parked or are brought back are killed in each state
(`--held` runs of five kills each). It needs the environment `codex-train`; for 200 kills it takes about half an hour on
two cores. `--kills 0` leaves only the held ones.
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from support.hub.server import Hub  # noqa: E402
from support.hub.user import HubUser  # noqa: E402
from support.kill import held, history, kills, points  # noqa: E402

from codex_tui.environment import build  # noqa: E402
from training.contract.run_directory import RunDirectory  # noqa: E402

KILL_POINTS = (
    points.at_random, points.during_checkpoint, points.during_json_file, points.at_random, points.during_checkpoint,
    points.during_event, points.at_random, points.during_checkpoint, points.during_json_file, points.at_random,
)  # fmt: skip
TIMES = 10  # that a run's trainer is killed
HELD_STEPS = 800  # of a run whose keeper or trainer is killed in each held state: it must last
SET_UPS, PUSHES, HISTORIES = 0.02, 0.05, 0.2  # of the kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--held", type=int, default=4, help="runs whose keeper or trainer is killed in each held state")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    tally, began = kills.Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="codex-tui-kills-") as folder:
        home = Path(folder)
        histories(home / "histories", tally, round(HISTORIES * args.kills), args.seed)
        pushes(home / "hub", tally, round(PUSHES * args.kills), args.seed)
        set_ups(home / "set-up", tally, round(SET_UPS * args.kills), args.seed)
        user = kills.LocalUser(home / "user", build.find_python(), tally, args.seed)
        runs(user, args.kills)
        patient = kills.LocalUser(home / "held", build.find_python(), tally, args.seed)
        patient.profile = {**kills.PROFILE, "training.max_steps": HELD_STEPS, "evaluation.eval_steps": 200}
        held_runs(patient, args.held)
    minutes = (time.monotonic() - began) / 60
    print(f"\nkills tried              {sum(tally.kills.values()):6}   {dict(tally.kills)}")
    print(f"in the middle of a write {sum(tally.during_write.values()):6}   {dict(tally.during_write)}")
    print(f"resumes                  {tally.resumes:6}")
    each = f", each killed {tally.min_kills} times or more" if args.kills and not args.held else ""
    print(f"runs identical           {tally.identical:6}   of {tally.runs}{each}")
    print(f"problems                 {len(tally.problems):6}   in {minutes:.0f} minutes")
    for problem in tally.problems:
        print(f"  {problem}")
    return 1 if tally.problems or tally.identical < tally.runs else 0


def held_runs(user: kills.LocalUser, count: int) -> None:
    """Runs whose keeper or trainer is killed while they park, are parked or are brought back."""
    if not count:
        return
    undisturbed = kills.train_to_the_end(user, "held-undisturbed")
    for number in range(1, count + 1):
        name = f"held-{number}"
        held.kill_in_each_state(user, name)
        kills.train_to_the_end(user, name)
        kills.compare_with(user, name, undisturbed)
        print(f"{name}: {dict(user.tally.kills)}, identical {user.tally.identical}", flush=True)


def runs(user: kills.LocalUser, count: int) -> None:
    """Runs that are killed ten times each, until `count` kills have been tried."""
    if not count:
        return
    undisturbed, number = kills.train_to_the_end(user, "undisturbed"), 0
    while sum(user.tally.kills.values()) < count:
        number += 1
        name, before = f"killed-{number}", user.tally.kills["trainer"]
        chosen = user.rng.sample(KILL_POINTS, len(KILL_POINTS)) + [points.during_checkpoint] * len(KILL_POINTS)
        for turn, kill_point in enumerate(chosen):
            if user.tally.kills["trainer"] - before >= TIMES:
                break
            watching = [kills.start_viewer_to_kill(user, name) for _ in range(user.rng.randint(1, 3))]
            orphan = turn % 3 == 2 and kill_point is not points.during_json_file  # which may be over by then
            goes_on = kills.kill_trainer(user, name, kill_point, parent_first=orphan)
            for thread in watching:
                thread.join()
            if not goes_on:
                break
        user.tally.min_kills = min(user.tally.min_kills, user.tally.kills["trainer"] - before)
        kills.kill_chat_worker(user, name)
        kills.train_to_the_end(user, name)
        kills.compare_with(user, name, undisturbed)
        print(f"{name}: {dict(user.tally.kills)}, identical {user.tally.identical}", flush=True)


def set_ups(home: Path, tally: kills.Tally, count: int, seed: int) -> None:
    """A set-up that is killed is done again, and ends well."""
    if not count:
        return
    user = kills.LocalUser(home, Path(sys.executable), tally, seed)
    (home / "config" / "settings.toml").unlink()
    built = home / "data" / "envs"
    while tally.kills["set-up"] < count:
        if (built / "codex-train").exists():  # it was quicker than we
            shutil.rmtree(built)
        process = user.start("setup", "--cpu")
        time.sleep(user.rng.uniform(0.3, 9))
        if process.poll() is None:
            process.kill()
            tally.kills["set-up"] += 1
        process.communicate()
        user.run_command("doctor", code=None)
    tally.expect("Ready to train" in user.run_command("setup", "--cpu"), "set-up does not end well after it was killed")
    print(f"set-up: {dict(tally.kills)}", flush=True)


def histories(home: Path, tally: kills.Tally, count: int, seed: int) -> None:
    """A trainer that logs thousands of steps, or the parent that records them, is killed. Viewers see the events."""
    rng, run = random.Random(seed), RunDirectory(home / "long")
    for number in range(count):
        if number % 10 == 0:
            run = RunDirectory(home / f"long-{number}")
            run.create()
            run.log.touch()
        tally.kills[f"logging {history.kill_attempt(run, rng)}"] += 1
        if number % 5 == 4:
            history.tear(run.history, rng)
        wrong = history.find_difference(run)
        tally.expect(not wrong, f"the history of {run.name} is wrong after kill {number + 1}: {wrong}")
    print(f"history: {dict(tally.kills)}", flush=True)


def pushes(home: Path, tally: kills.Tally, count: int, seed: int) -> None:
    """A push that is killed leaves nothing half there, and the next one completes it."""
    if not count:
        return
    home.mkdir(parents=True)
    rng = random.Random(seed)
    hub = Hub("hf_" + secrets.token_hex(17))
    hub.start()
    hub._server.handle_error = lambda *_: None  # type: ignore[union-attr, method-assign]  a killed client hangs up
    user = HubUser(hub, home, hub.token)
    for number in range(count):
        path = user.write_rows(f"rows-{number}.jsonl", 20_000)
        command = [sys.executable, "-m", "codex_tui", "data", "push", str(path), f"me/rows-{number}"]
        process = subprocess.Popen(command, env=user.environment(), cwd=home, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(rng.uniform(0.2, 1.5))
        if process.poll() is None:
            process.kill()
            tally.kills["push"] += 1
        process.wait()
        user.run_json("data", "push", path, f"me/rows-{number}")
        there = hub.dataset(f"me/rows-{number}").at("main")
        same = there is not None and path.read_bytes() in there.files.values()
        tally.expect(same, f"what was pushed after a killed push is not what is here: rows-{number}")
    hub.stop()
    print(f"push: {dict(tally.kills)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
