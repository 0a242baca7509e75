"""Killed anywhere: a short form of tests/benchmarks/kills.py, with the real trainer."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support import faults, moments

MOMENTS = (moments.in_a_json_file, moments.in_an_event, moments.in_a_checkpoint)


@pytest.fixture(scope="module")
def person(trainer_python: Path, tmp_path_factory: pytest.TempPathFactory) -> faults.Person:
    someone = faults.Person(tmp_path_factory.mktemp("kills"), trainer_python, faults.Tally(), seed=3)
    someone.profile = {**faults.PROFILE, "training.max_steps": 24, "evaluation.eval_steps": 12}
    return someone


def test_a_run_that_was_killed_again_and_again_is_the_same_to_the_last_bit(person: faults.Person) -> None:
    tally = person.tally
    for number, moment in enumerate(MOMENTS):
        watching = faults.bystander(person, "killed")
        assert faults.kill_the_trainer(person, "killed", moment, parent_first=number == 2)
        watching.join()
    # Of two that go on with it at once, one does.
    both = [person.start("resume", "killed", "--headless") for _ in range(2)]
    told = [process.communicate(timeout=moments.STUCK)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], told
    assert sum("killed is training already." in text for text in told) == 1
    faults.compare(person, "killed", faults.finish(person, "whole"))
    assert not tally.problems
    assert tally.identical == 1
    assert tally.kills["trainer"] == len(MOMENTS)
    assert tally.in_the_middle["checkpoint"] or tally.in_the_middle["JSON file"]


def test_a_killed_chat_worker_says_so_and_the_next_answers(person: faults.Person) -> None:
    faults.kill_a_chat(person, "killed")
    assert not person.tally.problems
    assert person.says("chat", "killed", "--prompt", "Which weapon first?", "--max-new-tokens", "4")
    [told] = [run for run in json.loads(person.says("runs", "--json")) if run["name"] == "killed"]
    assert (told["state"], told["resume_step"]) == ("done", None)


def test_before_a_trainer_has_said_who_it_is_it_dies_with_its_parent(person: faults.Person) -> None:
    """Viewers know the parent alone by then: a trainer that went on would be one that nobody sees."""
    viewer, run = person.train("orphan"), person.run("orphan")
    while not ((trainer := faults.trainer_of(run)) and (parent := faults.parent_of(trainer))):
        assert viewer.poll() is None
        time.sleep(0.002)
    faults.kill(parent)
    if (identity := run.read_process()) and identity.pid == trainer.pid:
        viewer.kill()
        pytest.skip("it was quicker than this test")
    faults.until_gone(trainer)
    assert not run.trainer_alive()
    assert "lost:" in viewer.communicate(timeout=moments.STUCK)[0]
    assert person.listed("orphan")["state"] == "lost"
    assert not run.events.exists()
