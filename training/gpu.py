"""NVML readings for the run's history. Each metric is asked for on its own: many cards and WSL2 lack some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.contract import events as ev

MIB = 2**20


class Card:
    """The GPU that torch trains on, as NVML sees it. Raises where there is no NVML or no such card."""

    def __init__(self, uuid: str) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._nvml = pynvml
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")

    def read(self) -> ev.Gpu:
        nvml, handle = self._nvml, self._handle
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        return ev.Gpu(
            used_mib=memory and memory.used / MIB,
            total_mib=memory and memory.total / MIB,
            temperature=self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            utilisation=self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            power=self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            sm_clock=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        )

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._nvml.NVMLError:
            return None


def open_card() -> Card | None:
    """The card in use, or None where training runs on the CPU or NVML is not to be had."""
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        return Card(str(torch.cuda.get_device_properties(0).uuid))
    except Exception:  # noqa: BLE001  NVML comes from the driver and fails in many ways; training goes on without
        return None
