"""Killed anywhere: a short form of tests/benchmarks/kills.py, with the real trainer."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.kill import kills, points

MOMENTS = (points.in_a_json_file, points.in_an_event, points.in_a_checkpoint)


@pytest.fixture(scope="module")
def person(trainer_python: Path, tmp_path_factory: pytest.TempPathFactory) -> kills.Person:
    someone = kills.Person(tmp_path_factory.mktemp("kills"), trainer_python, kills.Tally(), seed=3)
    someone.profile = {**kills.PROFILE, "training.max_steps": 24, "evaluation.eval_steps": 12}
    return someone


def test_a_run_that_was_killed_again_and_again_is_the_same_to_the_last_bit(person: kills.Person) -> None:
    tally = person.tally
    for number, moment in enumerate(MOMENTS):
        watching = kills.bystander(person, "killed")
        assert kills.kill_the_trainer(person, "killed", moment, parent_first=number == 2)
        watching.join()
    # Of two that go on with it at once, one does.
    both = [person.start("resume", "killed", "--headless") for _ in range(2)]
    told = [process.communicate(timeout=points.STUCK)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], told
    assert sum("killed is training already." in text for text in told) == 1
    kills.compare(person, "killed", kills.finish(person, "whole"))
    assert not tally.problems
    assert tally.identical == 1
    assert tally.kills["trainer"] == len(MOMENTS)
    assert tally.in_the_middle["checkpoint"] or tally.in_the_middle["JSON file"]


def test_a_killed_chat_worker_says_so_and_the_next_answers(person: kills.Person) -> None:
    kills.kill_a_chat(person, "killed")
    assert not person.tally.problems
    assert person.says("chat", "killed", "--prompt", "Which weapon first?", "--max-new-tokens", "4")
    [told] = [run for run in json.loads(person.says("runs", "--json")) if run["name"] == "killed"]
    assert (told["state"], told["resume_step"]) == ("done", None)


def test_before_a_trainer_has_said_who_it_is_it_dies_with_its_parent(person: kills.Person) -> None:
    """Viewers know the parent alone by then: a trainer that went on would be one that nobody sees."""
    viewer, run = person.train("orphan"), person.run("orphan")
    while not ((trainer := kills.trainer_of(run)) and (parent := kills.parent_of(trainer))):
        assert viewer.poll() is None
        time.sleep(0.002)
    kills.kill(parent)
    if (identity := run.read_process()) and identity.pid == trainer.pid:
        viewer.kill()
        pytest.skip("it was quicker than this test")
    kills.until_gone(trainer)
    assert not run.is_trainer_alive()
    assert "lost:" in viewer.communicate(timeout=points.STUCK)[0]
    assert person.listed("orphan")["state"] == "lost"
    assert not run.events.exists()
