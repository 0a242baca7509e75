"""Page-locked memory is found by trying; the CUDA driver's library is the one thing put in its place."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from codex_tui.commands import doctor
from codex_tui.machine.facts import GpuFacts
from codex_tui.runs import live
from training.contract.run_directory import RunDirectory
from training.contract.units import MIB
from training.memory import pinned_memory
from training.memory.pinned_memory import PinnedUnknown, lockable_mib

LAPTOP = GpuFacts("RTX 3050", "591.44", (13, 1), 4096, 3800, (8, 6), 1)


class Driver:
    """libcuda as far as we ask it: locks up to `most` bytes at once, and no block above `largest`."""

    def __init__(self, most: int, largest: int = 1 << 40, device: int = 0) -> None:
        self.most, self.largest, self.device = most, largest, device
        self.held: dict[int, int] = {}
        self.contexts = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: 0

    def cuDeviceGet(self, pointer: Any, ordinal: int) -> int:  # noqa: N802
        return self.device

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        self.contexts += 1
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> int:  # noqa: N802
        self.contexts -= 1
        return 0

    def cuMemHostAlloc(self, pointer: Any, size: ctypes.c_size_t, flags: int) -> int:  # noqa: N802
        if size.value > self.largest or sum(self.held.values()) + size.value > self.most:
            return 2  # CUDA_ERROR_OUT_OF_MEMORY
        pointer._obj.value = len(self.held) + 1
        self.held[len(self.held) + 1] = size.value
        return 0

    def cuMemFreeHost(self, pointer: ctypes.c_void_p) -> int:  # noqa: N802
        del self.held[pointer.value or 0]
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.setattr(live, "find_live_run", lambda: None)
    found = Driver(most=1200 * MIB)
    monkeypatch.setattr(pinned_memory, "_load_library", lambda: found)
    return found


@pytest.mark.parametrize(("wanted", "block", "found"), [(336, 16, 336), (340, 16, 340), (4096, 16, 1200), (4, 16, 4)])
def test_it_tells_what_can_be_had_and_gives_all_back(driver: Driver, wanted: int, block: int, found: int) -> None:
    assert lockable_mib(wanted, block) == found
    assert driver.held == {}
    assert driver.contexts == 0


def test_blocks_too_large_for_wsl2_are_as_good_as_none(driver: Driver) -> None:
    driver.largest = 8 * MIB
    assert lockable_mib(336, 16) == 0
    assert lockable_mib(336, 8) == 336


def test_without_a_card_or_driver_it_says_why(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.device = 100
    with pytest.raises(PinnedUnknown, match="no GPU"):
        lockable_mib(16, 16)
    monkeypatch.undo()
    monkeypatch.setattr(pinned_memory, "_LIBRARIES", ("libnothing.so",))
    with pytest.raises(PinnedUnknown, match="no CUDA driver"):
        lockable_mib(16, 16)


@pytest.mark.parametrize(("most", "state", "says"), [(9999, "ok", "at least 2,048 MiB"), (1200, "ok", "1,200 MiB"),
                                                     (96, "warning", "96 MiB")])  # fmt: skip
def test_doctor_tells_it(driver: Driver, most: int, state: str, says: str) -> None:
    driver.most = most * MIB
    [finding] = doctor.pinned_findings(LAPTOP)
    assert (finding.topic, finding.state) == ("page-locked memory", state)
    assert says in finding.found
    assert not list(doctor.pinned_findings("no NVIDIA driver on this machine"))


def test_doctor_leaves_the_card_to_a_run_in_training(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "find_live_run", lambda: RunDirectory("/nowhere/zombies-1"))
    [finding] = doctor.pinned_findings(LAPTOP)
    assert "not tested while zombies-1 trains" in finding.found
    assert driver.contexts == 0
