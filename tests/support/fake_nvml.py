"""A made-up NVML: the module pynvml, as far as the app and the trainer ask it, over a card that a test describes.

A function may give the description, so that a test can change the card of a keeper that runs in another process.
"""

# ruff: noqa: N802, N815  the names are those of NVML

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

MIB = 1 << 20
CARD: dict[str, Any] = {"used": 10, "total": 4096, "celsius": 50, "utilisation": None, "programs": [], "error": ""}
"""A card that nobody uses. `programs` are lists of pid (0: this process), name and MiB (None: not told). `error` is
the name of the error that every question ends with, such as "GpuIsLost"."""


class FakeNvml(ModuleType):
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    class NVMLError_GpuIsLost(NVMLError):  # noqa: N801
        pass

    class NVMLError_DriverNotLoaded(NVMLError):  # noqa: N801
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801
        pass

    def __init__(self, describe: Callable[[], dict[str, Any]] = lambda: {}) -> None:
        super().__init__("pynvml")
        self.card = dict(CARD)
        self.cards: dict[int, dict[str, Any]] = {}  # by number: what is different about one of several
        self.opened = 0
        self._describe = describe

    def install(self) -> FakeNvml:
        """Let this process import it as pynvml."""
        sys.modules["pynvml"] = self
        return self

    def _ask(self, number: int = -1) -> dict[str, Any]:
        card = self.card | self._describe() | self.cards.get(number, {})
        if card["error"]:
            raise getattr(self, f"NVMLError_{card['error']}")(card["error"])
        return card

    def nvmlInit(self) -> None:
        self._ask()
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        return bool(self._ask())

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._ask()
        return index

    def nvmlDeviceGetName(self, _handle: int) -> str:
        return "Made-up RTX 3050"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        card = self._ask(handle)
        used, total = card["used"] * MIB, card["total"] * MIB
        return SimpleNamespace(used=used, total=total, free=total - used)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if (percent := self._ask(handle)["utilisation"]) is None:
            raise self.NVMLError_NotSupported
        return SimpleNamespace(gpu=int(percent))

    def nvmlDeviceGetTemperature(self, handle: int, _sensor: int) -> int:
        if (celsius := self._ask(handle)["celsius"]) is None:
            raise self.NVMLError_NotSupported
        return int(celsius)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(pid=pid or os.getpid(), usedGpuMemory=None if mib is None else mib * MIB)
            for pid, _name, mib in self._ask(handle)["programs"]
        ]

    nvmlDeviceGetGraphicsRunningProcesses = nvmlDeviceGetComputeRunningProcesses

    def nvmlSystemGetProcessName(self, pid: int) -> str:
        return next(name for number, name, _mib in self._ask()["programs"] if number == pid)
