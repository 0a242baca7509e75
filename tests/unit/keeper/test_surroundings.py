"""The facts that the keeper reads, from a made-up NVML."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from support.fake_nvml import FakeNvml

from training.keeper import surroundings
from training.keeper.surroundings import CardFacts, Program, Surroundings

NO_PID = 1 << 22  # above the largest pid of Linux, so that no process of this machine has it


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    module = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(surroundings, "wsl", lambda: 0)
    return module


def test_reads_the_card_and_its_programs(nvml: FakeNvml) -> None:
    nvml.card |= {"used": 2110, "celsius": 71, "programs": [[NO_PID, "C:\\Games\\blen\x1b[2Jder.exe", 2100]]}
    card = Surroundings().read_cards()[0]
    assert card == CardFacts(2110.0, 4096.0, 71, (Program("blen[2Jder.exe", 2100.0),), lists_memory=True)
    assert card.free_mib == 1986.0


def test_the_trainer_and_its_children_are_no_other_programs(nvml: FakeNvml) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as rank:
        nvml.card["programs"] = [[rank.pid, "", 100], [0, "", 200], [1, "", 300], [NO_PID, "game", 400]]
        for card in Surroundings([0, 1]).read_cards():
            assert [program.is_ours for program in card.programs] == [True, True, False, False]
        rank.kill()


def test_each_card_of_the_run_is_read(nvml: FakeNvml) -> None:
    nvml.cards = {1: {"used": 900, "celsius": 80}, 3: {"error": "GpuIsLost"}}
    second, fourth = Surroundings([1, 3]).read_cards()
    assert (second.name, second.used_mib, second.celsius) == ("GPU 1", 900.0, 80)
    assert (fourth.name, fourth.problem) == ("GPU 3", "the GPU has fallen off the bus: restart the machine")
    assert [card.name for card in Surroundings("auto", processes=2).read_cards()] == ["GPU 0", "GPU 1"]


def test_what_the_driver_does_not_tell_is_not_known(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "wsl", lambda: 2)
    nvml.card |= {"celsius": None, "programs": [[NO_PID, "game.exe", None]]}
    card = Surroundings().read_cards()[0]
    assert (card.celsius, card.lists_memory, card.programs) == (None, False, (Program("game.exe", None),))


def test_a_driver_that_is_gone_says_why_and_may_come_back(nvml: FakeNvml) -> None:
    around = Surroundings()
    assert around.read_cards()[0].problem == ""
    nvml.card["error"] = "GpuIsLost"
    assert around.read_cards()[0] == CardFacts(problem="the GPU has fallen off the bus: restart the machine")
    nvml.card["error"] = "DriverNotLoaded"
    assert around.read_cards()[0].problem == "the NVIDIA driver is not loaded"
    nvml.card["error"] = ""
    assert around.read_cards()[0].used_mib == 10.0
    around.close_cards()
    assert nvml.opened == 0


def test_a_driver_that_hangs_does_not_stop_the_keeper(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "ANSWER_SECONDS", 0.05)
    answers = threading.Event()
    real = nvml.nvmlDeviceGetMemoryInfo

    def hang(handle: int) -> Any:
        answers.wait()
        return real(handle)

    monkeypatch.setattr(nvml, "nvmlDeviceGetMemoryInfo", hang)
    around = Surroundings()
    assert around.read_cards()[0].problem == surroundings.HANGS
    assert around.read_cards()[0].problem == surroundings.HANGS  # and no second thread asks it
    assert [thread.name for thread in threading.enumerate()].count(surroundings.READER) == 1
    around.close_cards()
    assert nvml.opened == 1  # the driver would stop the keeper here too
    answers.set()
    assert around._reader is not None
    around._reader.join()
    monkeypatch.setattr(surroundings, "ANSWER_SECONDS", 10.0)
    assert around.read_cards()[0].used_mib == 10.0
    around.close_cards()
    assert nvml.opened == 0


@pytest.mark.parametrize(
    ("device", "visible", "has_card"),
    [("auto", None, True), ("auto", "", False), ("cpu", None, False), (1, "", True), ("auto", "GPU-12ab", True)],
)
def test_a_run_on_the_cpu_has_no_card(
    device: int | str, visible: str | None, has_card: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert Surroundings(device).has_card is has_card


def test_the_card_is_read_only_when_it_is_asked_for(nvml: FakeNvml) -> None:
    around = Surroundings()
    assert around.read(with_battery=False, with_cards=False).cards == ()
    assert nvml.opened == 0
    assert around.read(with_battery=False, with_cards=True).cards != ()
    assert Surroundings("cpu").read(with_battery=False, with_cards=True).cards == ()
