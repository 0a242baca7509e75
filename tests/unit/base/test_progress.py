"""The estimate of how long a step still takes."""

from __future__ import annotations

import pytest

from codex_tui.base.progress import Progress, ProgressTracker


class Clock:
    def __init__(self) -> None:
        self.now = 50.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


def test_an_estimate_begins_anew_with_each_step(clock: Clock) -> None:
    tracker = ProgressTracker(Progress("reading"))
    clock.now += 10
    tracker.update(Progress("reading", 25, 100))
    assert (tracker.elapsed, tracker.seconds_left) == (10, 30)
    tracker.update(Progress("sending", 40, 100))
    assert (tracker.elapsed, tracker.seconds_left) == (0, None)
    clock.now += 3
    tracker.update(Progress("sending", 70, 100))  # 30 in 3 seconds: the 40 were there before
    assert tracker.seconds_left == 3


def test_no_estimate_is_made_up(clock: Clock) -> None:
    tracker = ProgressTracker(Progress("reading", 0, 100))
    clock.now += 1
    tracker.update(Progress("reading", 90, 100))
    assert tracker.seconds_left is None  # too soon
    clock.now += 10
    tracker.update(Progress("reading", 90, 0))
    assert tracker.seconds_left is None  # of how many?
    tracker.update(Progress("reading", 0, 100))
    assert tracker.seconds_left is None  # nothing was done
    tracker.update(Progress("reading", 120, 100))
    assert tracker.seconds_left == 0  # more than was announced


def test_the_estimate_of_the_work_itself_comes_first(clock: Clock) -> None:
    tracker = ProgressTracker(Progress("reading", seconds_left=7.0))
    assert tracker.seconds_left == 7.0
