"""What the GPU and the machine are doing now, through NVML and psutil. Cheap enough for once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from training.contract import events as ev
from training.contract.units import MIB
from training.memory.nvml import WSL_NVML, NvmlUnavailable, describe_error, is_error, load_nvml

_RETRY_SECONDS = 30.0
GONE = ("NVMLError_GpuIsLost", "NVMLError_Uninitialized", "NVMLError_DriverNotLoaded")


@dataclass(frozen=True)
class GpuReading:
    """One GPU. What a driver does not tell (WSL2, laptops) is None. °C, %, W and MHz."""

    name: str
    used_mib: int | None
    total_mib: int | None
    temperature: int | None
    utilisation: int | None
    power: float | None
    power_limit: float | None
    sm_clock: int | None
    max_sm_clock: int | None
    throttle: tuple[str, ...]  # why the clocks are held down, in words


@dataclass(frozen=True)
class Reading:
    gpu: GpuReading | None
    gpu_reason: str  # why there is none, "" where there is one
    cpu_percent: float  # of all cores together
    ram_used_mib: int
    ram_total_mib: int


def as_reading(recorded: ev.Gpu) -> GpuReading:
    """What the trainer records is less than what is read here."""

    def whole(value: float | None) -> int | None:
        return None if value is None else round(value)

    return GpuReading(
        name="GPU of the run",
        used_mib=whole(recorded.used_mib),
        total_mib=whole(recorded.total_mib),
        temperature=whole(recorded.temperature),
        utilisation=whole(recorded.utilisation),
        power=recorded.power,
        power_limit=None,
        sm_clock=whole(recorded.sm_clock),
        max_sm_clock=None,
        throttle=(),
    )


def without_gpu(reason: str) -> Reading:
    memory = psutil.virtual_memory()
    used, total = (memory.total - memory.available) // MIB, memory.total // MIB
    return Reading(None, reason, psutil.cpu_percent(None), used, total)


def nvidia_present() -> bool:
    """Is there an NVIDIA GPU, without starting anything?"""
    if any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/proc/driver/nvidia/gpus").glob("*")):
        return True
    if WSL_NVML.exists():
        return True
    try:
        nvml = load_nvml()
    except NvmlUnavailable:
        return False
    try:
        return int(nvml.nvmlDeviceGetCount()) > 0
    except nvml.NVMLError:
        return False


# NVML's names of the reasons, and ours. Idle and "applications clocks" are no throttling.
_THROTTLES = (
    ("SwPowerCap", "power cap"),
    ("HwSlowdown", "hardware slowdown"),
    ("SwThermalSlowdown", "too warm"),
    ("HwThermalSlowdown", "too hot, hardware slowdown"),
    ("HwPowerBrakeSlowdown", "power brake"),
)


class Sampler:
    """Reads one GPU, numbered as nvidia-smi does. One that dies is tried again every 30 seconds."""

    def __init__(self, device: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._clock = clock
        self._nvml: ModuleType | None = None
        self._handle: Any = None
        self._name = "NVIDIA GPU"
        self._reason = ""
        self._retry_at = float("-inf")
        psutil.cpu_percent(None)  # the first call has nothing to compare with

    def read(self) -> Reading:
        try:
            gpu = self._read_gpu()
        except Exception as error:  # noqa: BLE001  what comes from the driver fails in many ways, and a panel is a panel
            self._fail(f"the NVIDIA driver does not answer: {str(error) or type(error).__name__}")
            gpu = None
        reading = without_gpu("" if gpu else self._reason)
        return replace(reading, gpu=gpu)

    def close(self) -> None:
        if self._nvml is not None:
            with suppress(Exception):
                self._nvml.nvmlShutdown()
        self._nvml = None

    def _connect(self) -> None:
        try:
            nvml = load_nvml()
        except NvmlUnavailable as unavailable:
            self._fail(str(unavailable))
            return
        self._nvml = nvml
        try:
            if not nvml.nvmlDeviceGetCount():
                self._fail("the NVIDIA driver knows no GPU")
                return
            self._handle = nvml.nvmlDeviceGetHandleByIndex(self._device)
            self._name = str(nvml.nvmlDeviceGetName(self._handle))
        except nvml.NVMLError as error:
            self._fail(describe_error(nvml, error))

    def _fail(self, reason: str) -> None:
        self.close()
        self._reason = reason
        self._retry_at = self._clock() + _RETRY_SECONDS

    def _read_gpu(self) -> GpuReading | None:
        if self._nvml is None:
            if self._clock() < self._retry_at:
                return None
            self._connect()
        nvml, handle = self._nvml, self._handle
        if nvml is None:
            return None
        errors: list[Exception] = []
        answers = 0

        def ask(function: str, *arguments: Any) -> Any:
            """Each metric on its own: a driver that lacks one may well have the next."""
            nonlocal answers
            try:
                answer = getattr(nvml, function)(handle, *arguments)
            except (nvml.NVMLError, AttributeError) as error:
                errors.append(error)
                return None
            answers += 1
            return answer

        memory = ask("nvmlDeviceGetMemoryInfo")
        if errors and memory is None and is_error(nvml, errors[0], *GONE):
            self._fail(describe_error(nvml, errors[0]))
            return None
        rates = ask("nvmlDeviceGetUtilizationRates")
        temperature = ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        power, limit = ask("nvmlDeviceGetPowerUsage"), ask("nvmlDeviceGetEnforcedPowerLimit")
        clock, top = (ask(f"nvmlDeviceGet{which}ClockInfo", nvml.NVML_CLOCK_SM) for which in ("", "Max"))
        if not answers:  # a driver that tells nothing at all is as good as gone
            self._fail(describe_error(nvml, errors[0]))
            return None
        return GpuReading(
            name=self._name,
            used_mib=None if memory is None else int(memory.used) // MIB,
            total_mib=None if memory is None else int(memory.total) // MIB,
            temperature=temperature,
            utilisation=None if rates is None else int(rates.gpu),
            power=None if power is None else power / 1000,
            power_limit=None if limit is None else limit / 1000,
            sm_clock=clock,
            max_sm_clock=top,
            throttle=_throttles(nvml, ask("nvmlDeviceGetCurrentClocksThrottleReasons")),
        )


def _throttles(nvml: ModuleType, mask: int | None) -> tuple[str, ...]:
    reasons = []
    for name, words in _THROTTLES:
        # The newer half of NVML's names says ClocksEventReason, the older ClocksThrottleReason.
        bit = getattr(nvml, f"nvmlClocksEventReason{name}", None) or getattr(nvml, f"nvmlClocksThrottleReason{name}", 0)
        if mask and bit and mask & bit:
            reasons.append(words)
    return tuple(reasons)
