"""NVML readings for the run's history. Each metric is asked for on its own: many cards and WSL2 lack some."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from training.contract import events as ev

MIB = 2**20
METRICS = ("used_mib", "total_mib", "temperature", "utilisation", "power", "sm_clock")


class Card:
    """The GPU that this process was shown, as NVML sees it. Raises where there is no NVML or no such card.

    `total_mib` is its size, `others_mib` what other programs held on it when this was made: make it before CUDA starts.
    None: not told.
    """

    def __init__(self, visible: str) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._nvml = pynvml
        self._error = ""
        if visible.isdigit():  # NVML counts by bus, as CUDA_DEVICE_ORDER=PCI_BUS_ID does
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(int(visible))
        else:
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(visible)
        self.name = str(self._ask(lambda: pynvml.nvmlDeviceGetName(self._handle)) or "NVIDIA GPU")
        first = self.read()
        self.total_mib, self.others_mib = first.total_mib, first.used_mib
        self._answers = True

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

    def record(self, emit: Callable[[ev.Event], None]) -> ev.Gpu:
        """Reads, and emits what was read. A card that answers nothing any more is told of once: training goes on, or
        fails by itself with a better reason."""
        reading = self.read()
        answers = any(getattr(reading, metric) is not None for metric in METRICS)
        if answers:
            emit(reading)
        elif self._answers:
            emit(ev.Warned(message=f"The driver tells nothing of the card any more: {self._error}."))
        self._answers = answers
        return reading

    def held_mib(self) -> float | None:
        """What this process holds on the card, its CUDA context included; None where NVML does not tell."""
        nvml = self._nvml
        for process in self._ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) or ():
            if process.pid == os.getpid() and process.usedGpuMemory:
                return float(process.usedGpuMemory) / MIB
        # Under WSL2, say, a process can't be told from the others: what came since, then.
        used = self.read().used_mib
        return None if used is None or self.others_mib is None else used - self.others_mib

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:  # noqa: BLE001  it comes from the driver and fails in many ways, none of them ours
            self._error = str(error) or type(error).__name__
            return None


def open_card() -> Card | None:
    """The card in use, or None where training runs on the CPU or NVML is not to be had."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if not visible:
        return None
    try:
        return Card(visible)
    except Exception:  # noqa: BLE001  NVML comes from the driver and fails in many ways; training goes on without
        return None
