"""The time limit of an attempt: the deadline of the run and the hours of its profile, on made-up clocks."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.finetune import clock
from training.finetune.time_limit import TimeLimit

NOW = time.mktime((2026, 11, 28, 22, 30, 0, 0, 0, -1))


class Clocks:
    """Both clocks of a time limit. `pass_seconds` moves them; only the time of day goes on while the machine sleeps."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.unix, self.awake = NOW, 500.0
        patch.setattr(clock, "read_unix", lambda: self.unix)
        patch.setattr(clock, "read_awake", lambda: self.awake)

    def pass_seconds(self, seconds: float, *, asleep: bool = False) -> None:
        self.unix += seconds
        self.awake += 0 if asleep else seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def read_limit(folder: Path, until: float | None, hours: float | None) -> TimeLimit:
    profile = Profile.model_validate({"model": {"name": "-"}, "training": {"max_hours": hours}})
    job: Any = SimpleNamespace(config=SimpleNamespace(until=until), profile=profile)
    return TimeLimit.read(job, RunDirectory(folder))


def test_without_a_limit_there_is_always_time(tmp_path: Path, clocks: Clocks) -> None:
    limit = read_limit(tmp_path, None, None)
    assert not limit.is_set
    assert limit.compute_seconds_left() == float("inf")


def test_the_earlier_limit_rules(tmp_path: Path, clocks: Clocks) -> None:
    assert read_limit(tmp_path, NOW + 3_600, 2.0).compute_seconds_left() == 3_600
    assert read_limit(tmp_path, NOW + 9_000, 2.0).compute_seconds_left() == 7_200
    assert read_limit(tmp_path, NOW + 3_600, 2.0).describe() == "The deadline, 2026-11-28 23:30,"
    assert read_limit(tmp_path, None, 2.0).describe() == "The limit training.max_hours"


def test_the_hours_of_earlier_attempts_count_and_sleep_and_breaks_do_not(tmp_path: Path, clocks: Clocks) -> None:
    lines = [("started", 0), ("metrics", 3_600), ("held", 3_600), ("started", 90_000)]
    events = "".join(f'{{"type":"{kind}","time":{at}}}\n' for kind, at in lines)
    RunDirectory(tmp_path).events.write_text(events)
    limit = read_limit(tmp_path, None, 2.0)
    assert limit.compute_seconds_left() == 3_600
    clocks.pass_seconds(600)
    clocks.pass_seconds(7_200, asleep=True)
    assert limit.compute_seconds_left() == 3_000


def test_a_deadline_comes_nearer_while_the_machine_sleeps(tmp_path: Path, clocks: Clocks) -> None:
    limit = read_limit(tmp_path, NOW + 3_600, None)
    clocks.pass_seconds(7_200, asleep=True)
    assert limit.compute_seconds_left() == -3_600
