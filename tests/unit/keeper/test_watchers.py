"""The watchers of the keeper are asked when their time has come, and none of them ends the keeper."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.contract.run_directory import RunDirectory
from training.keeper.watchers import Hold, Moment, Watchers

RULE = Hold("parked", "A game uses the card.", "It continues when the game has ended.")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


class CountingWatcher:
    def __init__(self, seconds: float, hold: Hold | None) -> None:
        self.seconds, self.hold, self.looks = seconds, hold, 0

    def look(self, moment: Moment) -> Hold | None:
        self.looks += 1
        return self.hold


class FailingWatcher(CountingWatcher):
    def look(self, moment: Moment) -> Hold | None:
        super().look(moment)
        if self.looks < 4:
            raise KeyError("hardware")
        return self.hold


def test_a_watcher_that_raises_is_told_once_and_asked_again(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    failing, slow = FailingWatcher(1.0, RULE), CountingWatcher(10.0, None)
    watchers = Watchers([failing, slow])
    answers = [watchers.look(Moment(run, float(now), 0.0, None, 1)) for now in range(5)]
    assert answers == [[], [], [], [RULE], [RULE]] and slow.looks == 1
    log = capsys.readouterr().err
    assert log.count("FailingWatcher failed. The run goes on without it, and it is asked again.") == 1
    assert log.count("KeyError: 'hardware'") == 1


def test_each_watcher_is_asked_when_its_time_has_come_and_its_answer_stays(run: RunDirectory) -> None:
    quick, slow = CountingWatcher(1.0, None), CountingWatcher(10.0, RULE)
    watchers = Watchers([quick, slow])
    for now in range(20):
        assert watchers.look(Moment(run, float(now), 0.0, None, 1)) == [RULE]
    assert (quick.looks, slow.looks) == (20, 2)
    watchers.ask_all_again()
    watchers.look(Moment(run, 20.0, 0.0, None, 1))
    assert slow.looks == 3
