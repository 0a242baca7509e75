"""Kills everything, at any point: `python tests/benchmarks/kills.py [--kills 200] [--seed N]`.

Runs of the demo model on the CPU are killed ten times each, and their parents, apps and second viewers too (SIGKILL),
at random points and in the middle of checkpoints, JSON files and events, then compared with one that nobody disturbed:
losses, gradient norms, learning rates, evaluations and the adapter must be the same to the last bit. Chat workers,
set-ups and pushes to a Hub on the loopback are killed as well. It needs the environment `codex-train`; for 200 kills it
takes about half an hour on two cores.
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

from support.hub.person import Person as HubPerson  # noqa: E402
from support.hub.server import Hub  # noqa: E402
from support.kill import kills, points  # noqa: E402

from codex_tui.environment import build  # noqa: E402

KILL_POINTS = (
    points.at_random, points.in_a_checkpoint, points.in_a_json_file, points.at_random, points.in_a_checkpoint,
    points.in_an_event, points.at_random, points.in_a_checkpoint, points.in_a_json_file, points.at_random,
)  # fmt: skip
TIMES = 10  # that a run's trainer is killed
SET_UPS, PUSHES = 0.02, 0.05  # of the kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    tally, began = kills.Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="codex-tui-kills-") as folder:
        home = Path(folder)
        pushes(home / "hub", tally, round(PUSHES * args.kills), args.seed)
        set_ups(home / "set-up", tally, round(SET_UPS * args.kills), args.seed)
        person = kills.Person(home / "person", build.find_python(), tally, args.seed)
        runs(person, args.kills)
    minutes = (time.monotonic() - began) / 60
    print(f"\nkills tried              {sum(tally.kills.values()):6}   {dict(tally.kills)}")
    print(f"in the middle of a write {sum(tally.in_the_middle.values()):6}   {dict(tally.in_the_middle)}")
    print(f"resumes                  {tally.resumes:6}")
    print(f"runs identical           {tally.identical:6}   of {tally.runs}, each killed {tally.fewest} times or more")
    print(f"lies and losses          {len(tally.problems):6}   in {minutes:.0f} minutes")
    for problem in tally.problems:
        print(f"  {problem}")
    return 1 if tally.problems or tally.identical < tally.runs else 0


def runs(person: kills.Person, kills: int) -> None:
    """Runs that are killed ten times each, until `kills` have been tried."""
    whole, number = kills.finish(person, "whole"), 0
    while sum(person.tally.kills.values()) < kills:
        number += 1
        name, before = f"killed-{number}", person.tally.kills["trainer"]
        chosen = person.random.sample(KILL_POINTS, len(KILL_POINTS)) + [points.in_a_checkpoint] * len(KILL_POINTS)
        for turn, moment in enumerate(chosen):
            if person.tally.kills["trainer"] - before >= TIMES:
                break
            watching = [kills.bystander(person, name) for _ in range(person.random.randint(1, 3))]
            orphan = turn % 3 == 2 and moment is not points.in_a_json_file  # which may be over by then
            goes_on = kills.kill_the_trainer(person, name, moment, parent_first=orphan)
            for thread in watching:
                thread.join()
            if not goes_on:
                break
        person.tally.fewest = min(person.tally.fewest, person.tally.kills["trainer"] - before)
        kills.kill_a_chat(person, name)
        kills.finish(person, name)
        kills.compare(person, name, whole)
        print(f"{name}: {dict(person.tally.kills)}, identical {person.tally.identical}", flush=True)


def set_ups(home: Path, tally: kills.Tally, count: int, seed: int) -> None:
    """A set-up that is killed is done again, and ends well."""
    if not count:
        return
    person = kills.Person(home, Path(sys.executable), tally, seed)
    (home / "config" / "settings.toml").unlink()
    built = home / "data" / "envs"
    while tally.kills["set-up"] < count:
        if (built / "codex-train").exists():  # it was quicker than we
            shutil.rmtree(built)
        process = person.start("setup", "--cpu")
        time.sleep(person.random.uniform(0.3, 9))
        if process.poll() is None:
            process.kill()
            tally.kills["set-up"] += 1
        process.communicate()
        person.says("doctor", code=None)
    tally.expect("Ready to train" in person.says("setup", "--cpu"), "set-up does not end well after it was killed")
    print(f"set-up: {dict(tally.kills)}", flush=True)


def pushes(home: Path, tally: kills.Tally, count: int, seed: int) -> None:
    """A push that is killed leaves nothing half there, and the next one completes it."""
    if not count:
        return
    home.mkdir(parents=True)
    chance = random.Random(seed)
    hub = Hub("hf_" + secrets.token_hex(17))
    hub.start()
    hub._server.handle_error = lambda *_: None  # type: ignore[union-attr, method-assign]  a killed client hangs up
    person = HubPerson(hub, home, hub.token)
    for number in range(count):
        path = person.file(f"rows-{number}.jsonl", 20_000)
        command = [sys.executable, "-m", "codex_tui", "data", "push", str(path), f"me/rows-{number}"]
        process = subprocess.Popen(command, env=person.environment(), cwd=home, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(chance.uniform(0.2, 1.5))
        if process.poll() is None:
            process.kill()
            tally.kills["push"] += 1
        process.wait()
        person.says("data", "push", path, f"me/rows-{number}")
        there = hub.dataset(f"me/rows-{number}").at("main")
        same = there is not None and path.read_bytes() in there.files.values()
        tally.expect(same, f"what was pushed after a killed push is not what is here: rows-{number}")
    hub.stop()
    print(f"push: {dict(tally.kills)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
