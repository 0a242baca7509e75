"""A trainer that fails or crashes while the driver does not answer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_nvml import FakeNvml

from training.contract import events as ev
from training.contract.process import Exit
from training.contract.run_directory import RunDirectory
from training.keeper.decisions import AttemptEnd, Finish, Heal, decide
from training.keeper.lost_driver import blame_driver
from training.keeper.watchers import Restart

UNKNOWN = AttemptEnd(1, ev.Failed(kind="unknown", message="RuntimeError: 719", step=12), Exit(1, 1))
CRASH = AttemptEnd(1, None, Exit(1, None, "SIGSEGV"))
MESSAGE = "The GPU or its driver stopped answering: the GPU has fallen off the bus: restart the machine."


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    module = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return module


def make_run(folder: Path, device: str = "cuda:0 (Made-up RTX 3050)") -> RunDirectory:
    run = RunDirectory(folder / "run")
    run.create()
    write_config(run, {"profile": {}, "actual": {"hardware": {"device": device}}})
    run.events.write_text('{"type":"heartbeat","step":7}\n')
    return run


def test_the_driver_is_blamed_while_it_does_not_answer(tmp_path: Path, nvml: FakeNvml) -> None:
    run = make_run(tmp_path)
    assert [blame_driver(run, end) for end in (UNKNOWN, CRASH)] == [UNKNOWN, CRASH]  # it answers
    nvml.card["error"] = "GpuIsLost"
    for end, step in ((UNKNOWN, 12), (CRASH, 7)):
        blamed = blame_driver(run, end)
        assert isinstance(blamed.event, ev.Failed)
        assert (blamed.event.kind, blamed.event.message, blamed.event.step) == ("driver_lost", MESSAGE, step)
        assert "nvidia-smi" in blamed.event.hint
        assert decide(blamed, None) == Heal(MESSAGE) and decide(end, None) == Finish()
    assert nvml.opened == 0


def test_other_ends_are_not_the_drivers(tmp_path: Path, nvml: FakeNvml) -> None:
    nvml.card["error"] = "GpuIsLost"
    run = make_run(tmp_path)
    others = [
        AttemptEnd(1, ev.Done(step=9), Exit(1, 0)),
        AttemptEnd(1, ev.Failed(kind="nan_loss", message="The loss was NaN."), Exit(1, 1)),
        AttemptEnd(1, None, Exit(1, None, "SIGKILL")),
        AttemptEnd(1, None, Exit(1, None, "SIGSEGV"), None, Restart("It hung.")),
    ]
    assert [blame_driver(run, end) for end in others] == others
    on_cpu = make_run(tmp_path / "cpu", "cpu")
    assert blame_driver(on_cpu, UNKNOWN) == UNKNOWN
    on_cpu.config.unlink()
    assert blame_driver(on_cpu, CRASH) == CRASH
