"""Which silence is a hang, on a made-up clock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_nvml import FakeNvml

from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.run_directory import RunDirectory
from training.keeper import surroundings
from training.keeper.hangs import LOOK_SECONDS, HangWatcher, format_seconds, read_cpu_seconds
from training.keeper.run_config import read_config
from training.keeper.watchers import Moment, Restart

MINUTE = 60.0


class Scene:
    """A run, its trainer and the keeper's looks at both. `load` is that of the card, None if nobody tells it; `cpu` the
    share of a core that the trainer uses."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDirectory(folder / "run")
        self.run.create()
        self.writer = EventWriter(self.run.events)
        self.now, self.step, self.attempt = 1000.0, 0, 1
        self.load: float | None = 0.0
        self.cpu, self.cpu_seconds = 0.0, 0.0
        self.beats = True
        self.watch = HangWatcher(
            read_config(self.run), read_load=lambda: self.load, read_cpu=lambda pid: self.cpu_seconds
        )

    def emit(self, *events: ev.Event) -> None:
        for event in events:
            self.writer.emit(event)

    def pass_time(self, seconds: float, *, step_seconds: float = 0.0) -> Restart | None:
        """Let time pass, in which a step ends every `step_seconds`; 0 for none. Returns the first answer."""
        end, next_step = self.now + seconds, self.now + step_seconds
        while self.now < end:
            self.now += LOOK_SECONDS
            self.cpu_seconds += self.cpu * LOOK_SECONDS
            while step_seconds and next_step <= self.now:
                self.step, next_step = self.step + 1, next_step + step_seconds
                self.emit(ev.Metrics(step=self.step, loss=1.0))
            if self.beats:
                self.emit(ev.Heartbeat(step=self.step))
            if answer := self.look():
                return answer
        return None

    def look(self) -> Restart | None:
        return self.watch.look(Moment(self.run, self.now, 0.0, 4711, self.attempt))

    def train(self, *, step_seconds: float = 4.0, minutes: float = 5.0) -> None:
        self.emit(ev.Started(attempt=self.attempt, pid=1), ev.Phase(name="loading"))
        assert self.pass_time(3 * MINUTE) is None
        self.emit(ev.Phase(name="training"))
        assert self.pass_time(minutes * MINUTE, step_seconds=step_seconds) is None


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.writer.close()


def test_no_step_for_long_on_an_idle_card_is_a_hang(scene: Scene) -> None:
    scene.train(step_seconds=4)
    stopped_at = scene.now
    answer = scene.pass_time(20 * MINUTE)
    assert answer == Restart("No step for 6 min where 4 s is usual; the card was idle.")
    assert 5 * MINUTE < scene.now - stopped_at < 7 * MINUTE


def test_ten_times_the_usual_step_counts_where_steps_are_long(scene: Scene) -> None:
    scene.train(step_seconds=2 * MINUTE, minutes=30)
    assert scene.pass_time(19 * MINUTE) is None
    answer = scene.pass_time(5 * MINUTE)
    assert answer is not None and "where 2 min is usual" in answer.reason


def test_a_card_that_works_does_not_hang(scene: Scene) -> None:
    scene.train()
    scene.load = 97
    assert scene.pass_time(60 * MINUTE) is None
    scene.load = 3  # the desktop alone
    assert scene.pass_time(5 * MINUTE) is not None


def test_a_card_that_works_now_and_then_does_not_hang(scene: Scene) -> None:
    scene.train()
    for _ in range(40):
        scene.load = 0
        assert scene.pass_time(2 * LOOK_SECONDS) is None
        scene.load = 60
        assert scene.pass_time(LOOK_SECONDS) is None


def test_without_a_card_the_time_of_the_process_tells(scene: Scene) -> None:
    scene.load, scene.cpu = None, 1.0
    scene.train()
    assert scene.pass_time(60 * MINUTE) is None
    scene.cpu = 0.004
    answer = scene.pass_time(5 * MINUTE)
    assert answer is not None and answer.reason.endswith("the process was idle.")


@pytest.mark.parametrize("phase", ["evaluating", "saving", "sampling", "cooling", "probing", "tokenising", "loading"])
def test_other_work_is_no_hang(scene: Scene, phase: ev.PhaseName) -> None:
    scene.train()
    scene.emit(ev.Phase(name=phase))
    assert scene.pass_time(90 * MINUTE) is None
    scene.emit(ev.Phase(name="training"))
    assert scene.pass_time(4 * MINUTE) is None  # the first step after it is counted from here
    assert scene.pass_time(4 * MINUTE) is not None


def test_the_first_steps_are_no_hang(scene: Scene) -> None:
    scene.train(step_seconds=75, minutes=5)  # four steps
    assert scene.pass_time(240 * MINUTE) is None


def test_a_new_attempt_begins_anew(scene: Scene) -> None:
    scene.train()
    scene.attempt = 2
    scene.emit(ev.Started(attempt=2, pid=2))
    assert scene.pass_time(240 * MINUTE) is None


def test_a_process_without_a_heartbeat_was_stopped_and_does_not_hang(scene: Scene) -> None:
    scene.train()
    scene.beats = False
    assert scene.pass_time(240 * MINUTE) is None
    scene.beats = True  # it continues, and a step ends
    assert scene.pass_time(2 * MINUTE, step_seconds=4) is None


def test_a_laptop_that_slept_is_no_hang(scene: Scene) -> None:
    scene.train()
    scene.now += 8 * 60 * MINUTE
    assert scene.look() is None
    assert scene.pass_time(2 * MINUTE) is None
    assert scene.pass_time(2 * MINUTE, step_seconds=4) is None


def test_a_trainer_that_tells_no_step_is_never_taken_for_one_that_hangs(scene: Scene) -> None:
    """A run that an earlier version trains."""
    scene.train()
    for _ in range(200):
        scene.run.events.open("a").write('{"type":"heartbeat","v":1}\n')
    scene.watch = HangWatcher(read_config(scene.run), read_load=lambda: 0.0)
    scene.beats = False
    assert scene.pass_time(60 * MINUTE) is None


def test_a_hang_that_the_profile_ignores_is_only_told_once_in_the_log(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    write_config(scene.run, {"profile": {"keeper": {"on_hang": "ignore"}}})
    scene.watch = HangWatcher(read_config(scene.run), read_load=lambda: 0.0)
    scene.train()
    assert scene.pass_time(60 * MINUTE) is None
    assert capfd.readouterr().err == (
        "No step for 6 min where 4 s is usual; the card was idle. It may hang (keeper.on_hang).\n"
    )


def test_while_the_run_is_held_nothing_hangs(scene: Scene) -> None:
    scene.train()
    for _ in range(100):
        scene.now += LOOK_SECONDS
        assert scene.watch.look(Moment(scene.run, scene.now, 0.0, None, 2)) is None


def test_a_damaged_or_missing_file_of_events_is_no_hang(scene: Scene) -> None:
    scene.train()
    scene.run.events.write_bytes(b'{"type":"heartbeat","step":"x"}\n{"type":"phase"\n' * 9)
    scene.beats = False
    assert scene.pass_time(10 * MINUTE) is None
    scene.run.events.unlink()
    assert scene.pass_time(10 * MINUTE) is None


def test_the_card_is_asked_only_when_a_step_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(surroundings, "wsl", lambda: 0)
    nvml.card["utilisation"] = 0
    scene.watch = HangWatcher(read_config(scene.run))
    scene.train()
    assert nvml.opened == 0
    answer = scene.pass_time(10 * MINUTE)
    assert answer is not None and answer.reason.endswith("the card was idle.")
    assert nvml.opened == 0  # so that the card can sleep


def test_the_time_of_a_process_grows_with_its_work() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = read_cpu_seconds(busy.pid)
        assert before is not None
        while (read_cpu_seconds(busy.pid) or 0) < before + 0.2:
            pass
    finally:
        busy.kill()
        busy.wait()
    assert read_cpu_seconds(busy.pid) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.31, "0.3 s"), (4.2, "4 s"), (119, "119 s"), (725, "12 min"), (7200, "2 h")]
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
