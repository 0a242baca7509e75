"""Reads what the rules of the keeper are about: the clock, the battery, and the run's own cards with the programs on
them.

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
from training.contract.ticket import describe_cards
from training.contract.units import MIB
from training.memory.nvml import NvmlUnavailable, describe_error, load_nvml
from training.memory.visible_gpu import list_visible
from training.memory.wsl import wsl

PROC = Path("/proc")
ANSWER_SECONDS = 10.0  # a card that sleeps takes a few seconds to answer
READER = "driver"  # the thread that asks it
HANGS = "the NVIDIA driver hangs: it does not answer"


class Program(NamedTuple):
    """A program that uses the card. `mib` is None where the driver does not tell how much (WSL2). `is_ours` says
    whether it belongs to the trainer."""

    name: str
    mib: float | None
    is_ours: bool = False


@dataclass(frozen=True)
class CardFacts:
    """A card of the run. `problem` says why the driver does not answer; the other values are then unknown. `name` is
    for sentences: "the card", or "GPU 1" where the run trains on several.

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
    name: str = "the card"

    @property
    def free_mib(self) -> float | None:
        return None if self.used_mib is None or self.total_mib is None else self.total_mib - self.used_mib


@dataclass(frozen=True)
class Facts:
    """What was read at one look. `time` is in Unix seconds; `battery` is None, and `cards` is empty, if nobody asked
    for them, or if there is none."""

    time: float
    battery: Battery | None = None
    cards: tuple[CardFacts, ...] = ()


def read_time() -> float:
    """Read the time of day. The time zone is read anew, since a laptop may have travelled."""
    time.tzset()
    return time.time()


@dataclass
class Surroundings:
    """Reads the facts. `device` is the profile's hardware.device, and `processes` the number of cards that "auto"
    takes.

    NVML stays open while it is needed, because opening it may wake up a card and take a second. `close_cards` lets the
    cards sleep.
    """

    device: int | str | list[int] = "auto"
    processes: int = 1
    _nvml: ModuleType | None = None
    _reader: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._gpus = [gpu for gpu in list_visible(self.device, self.processes) if gpu]
        self._handles: dict[str, Any] = {}

    @property
    def has_card(self) -> bool:
        """Whether the run uses a card, as far as its profile and the environment tell."""
        return bool(self._gpus)

    def read(self, *, with_battery: bool, with_cards: bool) -> Facts:
        battery = read_battery() if with_battery else None
        return Facts(read_time(), battery, self.read_cards() if with_cards and self.has_card else ())

    def read_cards(self) -> tuple[CardFacts, ...]:
        """Read each card of the run. A driver that hangs stops a thread, and never the keeper."""
        answers: list[tuple[CardFacts, ...]] = []
        if self._reader is None or not self._reader.is_alive():
            self._reader = threading.Thread(target=lambda: answers.append(self._ask_driver()), name=READER, daemon=True)
            self._reader.start()
            self._reader.join(ANSWER_SECONDS)
        return answers[0] if answers else (CardFacts(problem=HANGS),)

    def _ask_driver(self) -> tuple[CardFacts, ...]:
        cards = tuple(self._ask_about(gpu) for gpu in self._gpus)
        if any(card.problem for card in cards):
            self._shut_down()
        return cards

    def _ask_about(self, gpu: str) -> CardFacts:
        name = describe_cards([f"gpu-{gpu}"]) if len(self._gpus) > 1 else CardFacts.name
        try:
            if self._nvml is None:
                self._nvml = load_nvml()
            if gpu not in self._handles:
                self._handles[gpu] = _find_handle(self._nvml, gpu)
            return _read_card(self._nvml, self._handles[gpu], name)
        except NvmlUnavailable as unavailable:
            problem = str(unavailable)
        except Exception as error:  # noqa: BLE001  a driver fails in many ways
            problem = describe_error(self._nvml, error) if self._nvml else str(error)
        return CardFacts(problem=problem, name=name)

    def close_cards(self) -> None:
        """Let the cards sleep. While the driver hangs, NVML stays open: to close it would stop the keeper too."""
        if self._reader is None or not self._reader.is_alive():
            self._shut_down()

    def _shut_down(self) -> None:
        if self._nvml is not None:
            with suppress(Exception):
                self._nvml.nvmlShutdown()
        self._nvml, self._handles = None, {}


def _find_handle(nvml: ModuleType, gpu: str) -> Any:
    if gpu.isdigit():  # NVML counts as CUDA does with CUDA_DEVICE_ORDER=PCI_BUS_ID
        return nvml.nvmlDeviceGetHandleByIndex(int(gpu))
    return nvml.nvmlDeviceGetHandleByUUID(gpu)


def _read_card(nvml: ModuleType, handle: Any, name: str) -> CardFacts:
    """Raises NVML's error if the driver does not even tell how much memory is in use."""
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    celsius = utilisation = None
    with suppress(nvml.NVMLError, AttributeError):
        celsius = int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    with suppress(nvml.NVMLError, AttributeError):
        utilisation = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    programs, lists_memory = _read_programs(nvml, handle)
    used, total, lists_memory = memory.used / MIB, memory.total / MIB, lists_memory and not wsl()
    return CardFacts(used, total, celsius, programs, lists_memory, utilisation=utilisation, name=name)


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
