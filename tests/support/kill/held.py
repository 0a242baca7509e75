"""Kills the keeper or the trainer of a run that parks, is parked or is brought back, and checks what is left.

Nothing may be lost or trained twice, and at no time may a run have two trainers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from codex_tui import launcher, stopping
from codex_tui.base.errors import CodexError
from codex_tui.runs.follower import snapshot
from support.kill import kills
from support.kill.points import PATIENCE, STARTUP_SECONDS
from training.contract.run_directory import RunDirectory


def kill_in_each_state(user: kills.LocalUser, name: str) -> None:
    """Kill once in each state of `SCENES`, in a random order, and bring the run back after each kill."""
    os.environ["CODEX_TUI_HOME"] = str(user.home)
    run = user.run_directory(name)
    for scene in user.rng.sample(SCENES, len(SCENES)):
        viewer = user.train(name)
        wait_until(lambda: has_trained(run) or viewer.poll() is not None)  # noqa: B023  it is called at once
        if viewer.poll() is None:
            scene(user, run)
        check_trainers(user, run, scene.__name__)
        if run.is_live():  # the kill came too late, or the trainer went on without its keeper
            with suppress(CodexError):
                stopping.stop(run)
        wait_until(lambda: not run.is_live())
        output, _ = viewer.communicate(timeout=PATIENCE)
        user.tally.expect("Traceback" not in output, f"{name}: the viewer shows a traceback: {output[-600:]}")
        status = user.list_run(name)["state"]
        told = status == "done" or viewer.returncode == 1
        user.tally.expect(told, f"{scene.__name__}: the viewer ended with {viewer.returncode}: {output[-300:]}")
        user.tally.expect(status in kills.END_STATES, f"{scene.__name__}: {name} is {status}, and nothing lives")
        if status == "done":
            return


def has_trained(run: RunDirectory) -> bool:
    """Whether the attempt that runs has trained a step."""
    process = run.read_process()
    if process is None or not process.is_alive():
        return False
    state = snapshot(run).state
    return state.attempt == process.attempt and state.step > state.resume_step


def the_keeper_of_a_parked_run(user: kills.LocalUser, run: RunDirectory) -> None:
    if not park(run):
        return
    kill(user, kills.find_keeper(run), "parked keeper")
    entry = user.list_run(run.name)
    user.tally.expect(entry["state"] == "lost", f"a parked run without a keeper is {entry['state']}")
    user.tally.expect("its keeper is gone" in entry["reason"], f"nobody says what happened: {entry['reason']}")


def the_trainer_that_parks(user: kills.LocalUser, run: RunDirectory) -> None:
    stopping.park(run)
    time.sleep(user.rng.uniform(0, 0.6))
    kill(user, kills.find_trainer(run), "parking trainer")
    wait_until(lambda: not run.is_trainer_alive() and (not run.is_kept() or run.read_request() is None))
    status = snapshot(run).status
    user.tally.expect(status in ("lost", "parked", "done"), f"a run whose trainer was killed is {status}")


def the_keeper_of_a_run_that_trains(user: kills.LocalUser, run: RunDirectory) -> None:
    kill(user, kills.find_keeper(run), "training keeper")
    output = user.run_command("park", run.name, code=None)
    told = "so nobody would resume it" in output or "is not training" in output
    user.tally.expect(told, f"a park without a keeper says {output[-300:]}")


def the_keeper_that_starts_an_attempt(user: kills.LocalUser, run: RunDirectory) -> None:
    if not park(run):
        return
    launcher.resume(run)
    time.sleep(user.rng.uniform(0, 1.5))
    kill(user, kills.find_keeper(run), "starting keeper")
    # Two that go on with it at once: at most one trains.
    for process in [user.start("resume", run.name, "--headless") for _ in range(2)]:
        time.sleep(user.rng.uniform(0, 0.5 * STARTUP_SECONDS))
        check_trainers(user, run, "two resumes")
        process.kill()
        process.communicate()


def the_trainer_that_was_brought_back(user: kills.LocalUser, run: RunDirectory) -> None:
    if not park(run):
        return
    launcher.resume(run)
    wait_until(run.is_trainer_alive)
    time.sleep(user.rng.uniform(0, STARTUP_SECONDS))
    kill(user, kills.find_trainer(run), "returned trainer")
    wait_until(lambda: not run.is_live())
    status = snapshot(run).status
    user.tally.expect(status in ("lost", "done"), f"a run whose trainer was killed is {status}")


SCENES: list[Callable[[kills.LocalUser, RunDirectory], None]] = [
    the_keeper_of_a_parked_run,
    the_trainer_that_parks,
    the_keeper_of_a_run_that_trains,
    the_keeper_that_starts_an_attempt,
    the_trainer_that_was_brought_back,
]


def park(run: RunDirectory) -> bool:
    """Park the run. Returns False if it came to its end before."""
    with suppress(CodexError):
        stopping.park(run)
    wait_until(lambda: (snapshot(run).status == "parked" and run.read_request() is None) or not run.is_live())
    return run.is_kept()


def kill(user: kills.LocalUser, process: psutil.Process | None, what: str) -> None:
    if process is not None:
        kills.kill(process)
        user.tally.kills[what] += 1


def check_trainers(user: kills.LocalUser, run: RunDirectory, where: str) -> None:
    count = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            # A second trainer that is refused the run's lock ends by itself.
            count += command[-2:] == ["attempt", str(run.path)] and process.status() != psutil.STATUS_ZOMBIE
    user.tally.expect(count <= 1, f"{where}: {run.name} has {count} trainers")


def wait_until(reached: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)
