"""Reads what the rules of the keeper are about: the clock, the battery, and the run's own card with the programs on it.

Everything that comes from outside is read through the functions of this module, so that a test can replace them.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from training.contract.power import Battery, read_battery
from training.contract.process import read_parent
from training.contract.units import MIB
from training.memory.nvml import NvmlUnavailable, describe_error, load_nvml
from training.memory.visible_gpu import first_visible_gpu
from training.memory.wsl import wsl

PROC = Path("/proc")
ANSWER_SECONDS = 10.0  # a card that sleeps takes a few seconds to answer
HANGS = "the NVIDIA driver hangs: it does not answer"


class Program(NamedTuple):
    """A program that uses the card. `mib` is None where the driver does not tell how much (WSL2). `is_ours` says
    whether it belongs to the trainer."""

    name: str
    mib: float | None
    is_ours: bool = False


@dataclass(frozen=True)
class CardFacts:
    """The run's card. `problem` says why the driver does not answer; the other values are then unknown.

    With `lists_memory`, `programs` are all programs on the card, each with its memory. Under WSL2 the driver shows few
    of them, and without their memory.
    """

    used_mib: float | None = None
    total_mib: float | None = None
    celsius: int | None = None
    programs: tuple[Program, ...] = ()
    lists_memory: bool = False
    problem: str = ""
    utilisation: int | None = None  # percent

    @property
    def free_mib(self) -> float | None:
        return None if self.used_mib is None or self.total_mib is None else self.total_mib - self.used_mib


@dataclass(frozen=True)
class Facts:
    """What was read at one look. `time` is in Unix seconds; `battery` and `card` are None if nobody asked for
    them, or if there is none."""

    time: float
    battery: Battery | None = None
    card: CardFacts | None = None


def read_time() -> float:
    """Read the time of day. The time zone is read anew, since a laptop may have travelled."""
    time.tzset()
    return time.time()


@dataclass
class Surroundings:
    """Reads the facts. `device` is the profile's hardware.device; of several cards, the first one is read.

    NVML stays open while it is needed, because opening it may wake up the card and take a second. `close_card` lets the
    card sleep.
    """

    device: int | str | list[int] = "auto"
    _nvml: ModuleType | None = None
    _handle: Any = None
    _reader: threading.Thread | None = None

    def __post_init__(self) -> None:
        if isinstance(self.device, list):
            self.device = self.device[0] if self.device else "auto"

    @property
    def has_card(self) -> bool:
        """Whether the run uses a card, as far as its profile and the environment tell."""
        return self.device != "cpu" and (isinstance(self.device, int) or bool(first_visible_gpu()))

    def read(self, *, with_battery: bool, with_card: bool) -> Facts:
        battery = read_battery() if with_battery else None
        card = self.read_card() if with_card and self.has_card else None
        return Facts(read_time(), battery, card)

    def read_card(self) -> CardFacts:
        """Read the card. A driver that hangs stops a thread, and never the keeper."""
        answers: list[CardFacts] = []
        if self._reader is None or not self._reader.is_alive():
            self._reader = threading.Thread(target=lambda: answers.append(self._ask_driver()), daemon=True)
            self._reader.start()
            self._reader.join(ANSWER_SECONDS)
        return answers[0] if answers else CardFacts(problem=HANGS)

    def _ask_driver(self) -> CardFacts:
        try:
            if self._nvml is None:
                self._open_card()
            assert self._nvml is not None
            return _read_card(self._nvml, self._handle)
        except NvmlUnavailable as unavailable:
            problem = str(unavailable)
        except Exception as error:  # noqa: BLE001  a driver fails in many ways
            problem = describe_error(self._nvml, error) if self._nvml else str(error)
        self._shut_down()
        return CardFacts(problem=problem)

    def close_card(self) -> None:
        """Let the card sleep. While the driver hangs, NVML stays open: to close it would stop the keeper too."""
        if self._reader is None or not self._reader.is_alive():
            self._shut_down()

    def _shut_down(self) -> None:
        if self._nvml is not None:
            with suppress(Exception):
                self._nvml.nvmlShutdown()
        self._nvml = self._handle = None

    def _open_card(self) -> None:
        self._nvml = nvml = load_nvml()
        visible = str(self.device) if isinstance(self.device, int) else first_visible_gpu()
        if visible.isdigit():  # NVML counts as CUDA does with CUDA_DEVICE_ORDER=PCI_BUS_ID
            self._handle = nvml.nvmlDeviceGetHandleByIndex(int(visible))
        else:
            self._handle = nvml.nvmlDeviceGetHandleByUUID(visible)


def _read_card(nvml: ModuleType, handle: Any) -> CardFacts:
    """Raises NVML's error if the driver does not even tell how much memory is in use."""
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    celsius = utilisation = None
    with suppress(nvml.NVMLError, AttributeError):
        celsius = int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    with suppress(nvml.NVMLError, AttributeError):
        utilisation = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    programs, lists_memory = _read_programs(nvml, handle)
    used, total, lists_memory = memory.used / MIB, memory.total / MIB, lists_memory and not wsl()
    return CardFacts(used, total, celsius, programs, lists_memory, utilisation=utilisation)


def _read_programs(nvml: ModuleType, handle: Any) -> tuple[tuple[Program, ...], bool]:
    """List the programs on the card, and say whether the driver lists programs at all."""
    programs, answers = {}, False
    for kind in ("Graphics", "Compute"):  # a program may do both
        with suppress(nvml.NVMLError, AttributeError):
            for process in getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses")(handle):
                mib = process.usedGpuMemory / MIB if process.usedGpuMemory else None
                programs[process.pid] = Program(_read_name(nvml, process.pid), mib, _is_ours(process.pid))
            answers = True
    return tuple(programs.values()), answers


def _is_ours(pid: int) -> bool:
    """Whether the process is the trainer or one of its children: whether it descends from the keeper."""
    keeper = os.getpid()
    while pid > 1 and pid != keeper:
        pid = read_parent(pid)
    return pid == keeper


def _read_name(nvml: ModuleType, pid: int) -> str:
    """Return the name of a program, such as "blender", or "" if nobody tells it. It has no control characters."""
    name = ""
    with suppress(OSError):
        name = (PROC / str(pid) / "comm").read_bytes().decode(errors="replace").strip()
    if not name:  # a process of Windows, or of another container
        with suppress(Exception):
            name = str(nvml.nvmlSystemGetProcessName(pid)).replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in name if character.isprintable())
