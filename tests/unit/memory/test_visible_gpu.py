"""One name for the card that a run trains on, however it was picked."""

from __future__ import annotations

import pytest

from training.memory import visible_gpu
from training.memory.visible_gpu import list_visible, name_cards, read_devices

UUID = "GPU-3f2a9c1e"


@pytest.mark.parametrize(
    ("device", "visible", "name"),
    [
        ("cpu", None, "cpu"), ("auto", None, "gpu-0"), ("auto", "", "cpu"), ("auto", "1,0", "gpu-1"), (2, "1", "gpu-2"),
        ("auto", UUID, "gpu-7"), ("auto", "GPU-gone/..", "GPU-gone---"),
    ],
)  # fmt: skip
def test_the_name(device: int | str, visible: str | None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible_gpu, "_SIGNS_OF_A_GPU", ("/dev/null",))
    monkeypatch.setattr(visible_gpu, "_find_number", {UUID: 7}.get)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert name_cards(device) == [name]


def test_without_a_gpu_a_run_trains_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible_gpu, "_SIGNS_OF_A_GPU", ("/dev/no-such-gpu",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert name_cards("auto") == ["cpu"]
    assert name_cards(0) == ["gpu-0"]  # the trainer refuses it with its own words


def test_a_number_that_no_driver_knows() -> None:
    assert visible_gpu._find_number("GPU-no-such") is None


def test_the_cards_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible_gpu, "_SIGNS_OF_A_GPU", ("/dev/null",))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,2")
    assert name_cards([1, 0]) == ["gpu-0", "gpu-1"]
    assert name_cards("auto", 2) == ["gpu-2", "gpu-3"]
    assert name_cards("cpu", 2) == ["cpu"]
    assert list_visible("auto", 2) == ["3", "2"]


@pytest.mark.parametrize(
    ("profile", "devices"),
    [
        ({}, ("auto", 1)),
        ({"hardware": {"device": [0, 1]}}, ([0, 1], 2)),
        ({"launch": {"processes": 2}}, ("auto", 2)),
        ({"hardware": {"device": 1}, "launch": {"processes": None}}, (1, 1)),
        ({"hardware": {"device": ["x"]}}, ("['x']", 1)),
    ],
)
def test_the_devices_of_a_profile(profile: dict[str, object], devices: tuple[object, int]) -> None:
    assert read_devices(profile) == devices
