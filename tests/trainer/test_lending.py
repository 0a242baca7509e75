"""The real trainer under a keeper with a made-up card, battery and clock: each rule parks it, and it comes back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from support.kept_runs import keep
from support.lending import BLENDER, TRAINER, World
from support.programs import PROGRAMS
from support.training_runs import MINUTES, Trainer, demo_profile, events, losses

from codex_tui.runs.follower import snapshot
from training.contract.run_directory import RunDirectory

STEPS = 80  # more than a fast machine takes until the keeper has looked three times
PROFILE: dict[str, Any] = {"training": {"max_steps": STEPS}, "evaluation": {"eval_steps": STEPS}}
RULES = {
    "hours": "23:00-07:00",
    "park_above_others_mib": 800,
    "park_on_battery": True,
    "park_above_celsius": 80,
    "resume_after_minutes": 0.0,
}
EVENING = datetime.fromisoformat("2026-11-28T22:30+00:00").timestamp()
CALM: dict[str, Any] = {"card": {"celsius": 60, "programs": []}, "battery": [False, 80], "time": EVENING + 1800}


@contextmanager
def keep_in(world: World, trainer: Trainer, run: RunDirectory) -> Iterator[subprocess.Popen[bytes]]:
    """The keeper sees the made-up card, its trainer none."""
    real = ("/usr/bin/env", "CUDA_VISIBLE_DEVICES=", trainer.python, "-m", "training", "attempt")
    command = [trainer.python, PROGRAMS / "lending_keeper.py", run.path, world.path, *real]
    environ = {**trainer.environ, "CUDA_VISIBLE_DEVICES": "0", "TZ": "UTC"}
    with (
        run.log.open("a") as log,
        keep(run, *command, env=environ, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        yield process


def test_each_rule_parks_the_real_trainer_and_the_run_is_done_all_the_same(trainer: Trainer) -> None:
    run = trainer.run("lent", demo_profile(**PROFILE, keeper=RULES))
    world = World(trainer.folder / "world.json", **CALM | {"time": EVENING})

    def until(reached: Callable[[], object]) -> None:
        while not reached():
            assert process.poll() is None, run.log.read_text()
            time.sleep(0.02)

    def until_held(state: str) -> None:
        until(lambda: snapshot(run).status == state)

    with keep_in(world, trainer, run) as process:
        until_held("waiting")
        assert not events(run, "started")
        world.change(**CALM)
        until(lambda: events(run, "metrics"))
        world.change(card={"programs": [TRAINER, BLENDER]})
        until_held("parked")
        # The next two come while the trainer loads, before there is anything to save.
        for trouble in ({"card": {"celsius": 84}}, {"battery": [True, 74]}):
            attempts = len(events(run, "started"))
            world.change(**CALM)
            until(lambda: len(events(run, "started")) > attempts)  # noqa: B023
            world.change(**trouble)
            until_held("parked")
        world.change(**CALM)
        assert process.wait(5 * MINUTES) == 0, run.log.read_text()
    reasons = list(dict.fromkeys(event["reason"] for event in events(run, "held") if "speaks" not in event["reason"]))
    assert reasons == [
        "It is 22:30, and the run trains from 23:00 to 07:00 (keeper.hours).",
        "blender holds 2,100 MiB of the card, more than 800 MiB (keeper.park_above_others_mib).",
        "The card has 84 °C, and the limit is 80 °C (keeper.park_above_celsius).",
        "The machine runs on battery, at 74 % (keeper.park_on_battery).",
    ]
    assert [event["attempt"] for event in events(run, "started")] == [1, 2, 3, 4]
    assert snapshot(run).status == "done" and run.has_adapter()
    assert sorted(losses(run)) == list(range(1, STEPS + 1))
