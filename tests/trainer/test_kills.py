"""Killed anywhere: a short form of tests/benchmarks/kills.py, with the real trainer."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.kill import kills, points

KILL_POINTS = (points.during_checkpoint, points.during_json_file, points.during_event)


@pytest.fixture(scope="module")
def user(trainer_python: Path, tmp_path_factory: pytest.TempPathFactory) -> kills.LocalUser:
    user = kills.LocalUser(tmp_path_factory.mktemp("kills"), trainer_python, kills.Tally(), seed=3)
    user.profile = {**kills.PROFILE, "training.max_steps": 24, "evaluation.eval_steps": 12}
    return user


def test_a_run_that_was_killed_again_and_again_is_the_same_to_the_last_bit(user: kills.LocalUser) -> None:
    tally = user.tally
    for number, kill_point in enumerate(KILL_POINTS):
        viewer = kills.start_viewer_to_kill(user, "killed")
        assert kills.kill_trainer(user, "killed", kill_point, parent_first=number == 2)
        viewer.join()
    park_and_kill_the_keeper(user, "killed")
    # Of two that go on with it at once, one does.
    both = [user.start("resume", "killed", "--headless") for _ in range(2)]
    outputs = [process.communicate(timeout=points.PATIENCE)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], outputs
    assert sum("killed is training already." in text for text in outputs) == 1
    kills.compare_with(user, "killed", kills.train_to_the_end(user, "undisturbed"))
    assert not tally.problems
    assert tally.identical == 1
    assert tally.kills["trainer"] == len(KILL_POINTS)
    assert tally.during_write["checkpoint"] >= 1
    assert tally.during_write["event"] == 1


def park_and_kill_the_keeper(user: kills.LocalUser, name: str) -> None:
    """Park the run while its model loads, and kill the keeper that would bring it back."""
    run, viewer = user.run_directory(name), user.train(name)
    while not run.is_trainer_alive():
        assert viewer.poll() is None
        time.sleep(0.002)
    assert f"{name} is parked at step" in user.run_command("park", name)
    assert kills.find_trainer(run) is None
    entry = user.list_run(name)
    assert (entry["state"], entry["reason"]) == ("parked", "You lent the card.")
    keeper = kills.find_keeper(run)
    assert keeper is not None
    kills.kill(keeper)
    output = viewer.communicate(timeout=points.PATIENCE)[0]
    assert "\nparked  step " in output and "its keeper is gone." in output


def test_a_killed_chat_worker_says_so_and_the_next_answers(user: kills.LocalUser) -> None:
    kills.kill_chat_worker(user, "killed")
    assert not user.tally.problems
    assert user.run_command("chat", "killed", "--prompt", "Which weapon first?", "--max-new-tokens", "4")
    [entry] = [run for run in json.loads(user.run_command("runs", "--json")) if run["name"] == "killed"]
    assert (entry["state"], entry["resume_step"]) == ("done", None)


def test_before_a_trainer_has_said_who_it_is_it_dies_with_its_parent(user: kills.LocalUser) -> None:
    """Viewers may know the keeper alone by then: a trainer that went on would be one that nobody sees."""
    viewer, run = user.train("orphan"), user.run_directory("orphan")
    while not ((trainer := kills.find_trainer(run)) and (parent := kills.find_parent(trainer))):
        assert viewer.poll() is None
        time.sleep(0.002)
    kills.kill(parent)
    if run.events.exists():
        viewer.kill()
        pytest.skip("it was quicker than this test")
    kills.wait_until_gone(trainer)
    assert not run.is_trainer_alive()
    assert "lost:" in viewer.communicate(timeout=points.PATIENCE)[0]
    assert user.list_run("orphan")["state"] == "lost"
    assert not run.events.exists()
