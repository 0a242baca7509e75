"""Reads the GPU through NVML for the run's history. Each metric is read on its own, since many GPUs and WSL2 lack
some."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from training.contract import events as ev
from training.contract.units import MIB
from training.memory.nvml import load_nvml

METRICS = ("used_mib", "total_mib", "temperature", "utilisation", "power", "sm_clock")


class Card:
    """The GPU that this process uses, as NVML sees it.

    `total_mib` is its size. `others_mib` is the memory that other programs held when this object was made, so make it
    before CUDA starts. Both are None if NVML doesn't tell. `others` are the further cards of the run, whose processes
    train with this one.
    """

    def __init__(self, visible: str, place: int = 0) -> None:
        """`visible` is a number or a UUID, `place` that among the cards of the run. Raises NvmlUnavailable or NVML's
        error for a GPU that does not exist."""
        self._nvml = nvml = load_nvml()
        self._error, self._place = "", place
        self.others: list[Card] = []
        if visible.isdigit():  # NVML counts by PCI bus, as CUDA does with CUDA_DEVICE_ORDER=PCI_BUS_ID
            self._handle = nvml.nvmlDeviceGetHandleByIndex(int(visible))
        else:
            self._handle = nvml.nvmlDeviceGetHandleByUUID(visible)
        self.name = str(self._ask(lambda: nvml.nvmlDeviceGetName(self._handle)) or "NVIDIA GPU")
        reading = self.read()
        self.total_mib, self.others_mib = reading.total_mib, reading.used_mib
        self._answers = True

    def read(self) -> ev.Gpu:
        nvml, handle = self._nvml, self._handle
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        return ev.Gpu(
            card=self._place,
            used_mib=memory and memory.used / MIB,
            total_mib=memory and memory.total / MIB,
            temperature=self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            utilisation=self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            power=self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            sm_clock=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        )

    def record(self, emit: Callable[[ev.Event], None]) -> ev.Gpu:
        """Read the GPU and the others, and emit the readings. Returns that of this GPU. When the driver stops
        answering, emit one warning: training continues, or fails by itself with a better reason."""
        for other in self.others:
            other.record(emit)
        reading = self.read()
        answers = any(getattr(reading, metric) is not None for metric in METRICS)
        if answers:
            emit(reading)
        elif self._answers:
            emit(ev.Warned(message=f"The driver stopped reporting on the GPU: {self._error}."))
        self._answers = answers
        return reading

    def read_hottest(self) -> ev.Gpu:
        """Read this GPU and the others. Returns the reading of the hottest one."""
        readings = [self.read(), *(other.read() for other in self.others)]
        return max(readings, key=lambda reading: -math.inf if reading.temperature is None else reading.temperature)

    def held_mib(self) -> float | None:
        """Read the memory that this process holds, including its CUDA context; None if NVML doesn't tell."""
        nvml = self._nvml
        for process in self._ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) or ():
            if process.pid == os.getpid() and process.usedGpuMemory:
                return float(process.usedGpuMemory) / MIB
        # Under WSL2, for example, NVML lists no processes. Take everything that was added since the start as ours.
        used = self.read().used_mib
        return None if used is None or self.others_mib is None else used - self.others_mib

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:  # noqa: BLE001  the driver fails in many ways, and no reading is worth a run
            self._error = str(error) or type(error).__name__
            return None


def open_card(names: Sequence[str]) -> Card | None:
    """Open the GPU that this process uses, the first of `names`, with the others. A name is a number or a UUID; "" is
    the CPU. Returns None if training runs on the CPU or NVML is not available."""
    if not names[0]:
        return None
    try:
        card = Card(names[0])
        card.others = [Card(name, place) for place, name in enumerate(names[1:], 1)]
        return card
    except Exception:  # noqa: BLE001  the driver fails in many ways; training works without NVML
        return None
