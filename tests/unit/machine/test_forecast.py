"""What the forecast of this machine says of several cards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from codex_tui.machine import forecast
from training.contract.profile import Profile
from training.memory.nvml import NvmlUnavailable


def make_profile(device: Any, processes: int | None) -> Profile:
    tables = {"hardware": {"device": device}, "launch": {"processes": processes, "keep_batch": False}}
    return Profile.model_validate({"model": {"name": "demo:llama"}} | tables)


@pytest.mark.parametrize(
    ("device", "processes", "words"),
    [
        ("auto", None, ""),
        (7, None, ""),  # the trainer refuses it in its own words
        ("auto", 2, ""),
        ([0, 1], None, ""),
        ("cpu", 4, ""),
        ("auto", 4, "launch.processes asks for 4 GPUs, and this machine has 2 GPUs"),
        ([1, 2, 3], None, "hardware.device names GPU 2 and 3, and this machine has 2 GPUs"),
    ],
)
def test_missing_cards_are_named(
    monkeypatch: pytest.MonkeyPatch, device: Any, processes: int | None, words: str
) -> None:
    monkeypatch.setattr(forecast, "load_nvml", lambda: SimpleNamespace(nvmlDeviceGetCount=lambda: 2))
    assert forecast.explain_missing_cards(make_profile(device, processes)) == words


def test_without_a_driver_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise NvmlUnavailable("no NVIDIA driver on this machine")

    monkeypatch.setattr(forecast, "load_nvml", fail)
    assert forecast.explain_missing_cards(make_profile([0, 1], None)) == ""
