"""The sampler over a driver that this machine does not have: NVML's module is the one thing put in its place."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from codex_tui.machine import facts, gpu
from training.contract import events as ev
from training.finetune import gpu as trainers


class Nvml(ModuleType):
    """pynvml as far as we ask it; `answers` by function, an exception is raised."""

    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801
        pass

    class NVMLError_GpuIsLost(NVMLError):  # noqa: N801
        pass

    class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801
        pass

    class NVMLError_LibRmVersionMismatch(NVMLError):  # noqa: N801
        pass

    def __init__(self) -> None:
        super().__init__("pynvml")
        vars(self).update(  # new and old names, as in the real one
            nvmlClocksEventReasonSwPowerCap=0x4,
            nvmlClocksThrottleReasonSwThermalSlowdown=0x20,
            nvmlClocksThrottleReasonGpuIdle=0x1,
        )
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetName": "RTX 2060",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=2 << 30, free=4 << 30, total=6 << 30),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
            "nvmlDeviceGetTemperature": 71,
            "nvmlDeviceGetPowerUsage": 150_500,
            "nvmlDeviceGetEnforcedPowerLimit": 160_000,
            "nvmlDeviceGetClockInfo": 1500,
            "nvmlDeviceGetMaxClockInfo": 2100,
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x1 | 0x4 | 0x20,
            "nvmlSystemGetDriverVersion": "580.10",
            "nvmlSystemGetCudaDriverVersion_v2": 13010,
            "nvmlDeviceGetCudaComputeCapability": (7, 5),
        }

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml") or name not in self.answers:
            raise AttributeError(name)

        def answer(*arguments: Any) -> Any:
            self.asked.append(name)
            value = self.answers[name]
            if isinstance(value, Exception):
                raise value
            return value

        return answer


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    module = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_reads_every_metric(nvml: Nvml) -> None:
    reading = gpu.Sampler().read()
    assert reading.gpu == gpu.GpuReading(
        name="RTX 2060",
        used_mib=2048,
        total_mib=6144,
        temperature=71,
        utilisation=97,
        power=150.5,
        power_limit=160.0,
        sm_clock=1500,
        max_sm_clock=2100,
        throttle=("power cap", "too warm"),
    )
    assert reading.gpu_reason == ""
    assert 0 < reading.ram_used_mib < reading.ram_total_mib
    assert 0 <= reading.cpu_percent <= 100


def test_metrics_fail_one_by_one(nvml: Nvml) -> None:
    """As under WSL2 and on laptops: some are not supported, some are unknown to an old driver."""
    for name in ("Temperature", "PowerUsage", "EnforcedPowerLimit", "CurrentClocksThrottleReasons"):
        nvml.answers[f"nvmlDeviceGet{name}"] = nvml.NVMLError_NotSupported()
    del nvml.answers["nvmlDeviceGetMaxClockInfo"]
    reading = gpu.Sampler().read().gpu
    assert reading is not None
    assert (reading.temperature, reading.power, reading.power_limit, reading.max_sm_clock) == (None,) * 4
    assert (reading.used_mib, reading.utilisation, reading.sm_clock, reading.throttle) == (2048, 97, 1500, ())


def test_no_driver_is_said_once_and_asked_again_later(nvml: Nvml) -> None:
    nvml.answers["nvmlInit"] = nvml.NVMLError_LibraryNotFound()
    now = [0.0]
    sampler = gpu.Sampler(clock=lambda: now[0])
    for _ in range(3):
        reading = sampler.read()
        assert reading.gpu is None and reading.gpu_reason == "no NVIDIA driver on this machine"
    assert nvml.asked.count("nvmlInit") == 1
    now[0] = 30.0
    nvml.answers["nvmlInit"] = None
    assert sampler.read().gpu is not None


def test_gpu_that_is_lost_later(nvml: Nvml) -> None:
    now = [0.0]
    sampler = gpu.Sampler(clock=lambda: now[0])
    assert sampler.read().gpu is not None
    nvml.answers["nvmlDeviceGetMemoryInfo"] = nvml.NVMLError_GpuIsLost()
    reading = sampler.read()
    assert reading.gpu is None and "fallen off the bus" in reading.gpu_reason
    nvml.answers["nvmlDeviceGetMemoryInfo"] = SimpleNamespace(used=0, free=1 << 30, total=1 << 30)
    assert sampler.read().gpu is None
    now[0] = 31.0
    assert sampler.read().gpu is not None


def test_a_driver_that_is_gone_in_the_middle_says_so(nvml: Nvml) -> None:
    """As when its modules are taken out, or a laptop's card is switched off: every question fails, in any way."""
    reasons = {
        nvml.NVMLError("Unknown Error"): "the NVIDIA driver does not answer: Unknown Error",
        nvml.NVMLError_GpuIsLost(): "the GPU has fallen off the bus: restart the machine",
        OSError("no such device"): "the NVIDIA driver does not answer: no such device",
        ValueError(): "the NVIDIA driver does not answer: ValueError",
    }
    for error, reason in reasons.items():
        answers = dict(nvml.answers)
        sampler = gpu.Sampler()
        assert sampler.read().gpu is not None
        for name in nvml.answers:
            nvml.answers[name] = error
        reading = sampler.read()
        assert reading.gpu is None
        assert reading.gpu_reason == reason
        assert reading.ram_total_mib > 0
        nvml.answers = answers


def test_one_metric_that_is_lost_takes_no_other_with_it(nvml: Nvml) -> None:
    nvml.answers["nvmlDeviceGetTemperature"] = nvml.NVMLError_GpuIsLost()
    reading = gpu.Sampler().read().gpu
    assert reading is not None
    assert (reading.temperature, reading.used_mib, reading.utilisation) == (None, 2048, 97)


def test_the_trainers_card_that_is_lost_is_told_of_once(nvml: Nvml) -> None:
    card = trainers.Card("0")
    told: list[ev.Event] = []
    assert card.record(told.append).temperature == 71
    nvml.answers["nvmlDeviceGetTemperature"] = nvml.NVMLError("odd")
    assert card.record(told.append).temperature is None
    assert [type(event) for event in told] == [ev.Gpu, ev.Gpu]
    answers = dict(nvml.answers)
    for error in (nvml.NVMLError_GpuIsLost("GPU is lost"), OSError("gone")):
        for name in nvml.answers:
            nvml.answers[name] = error
        assert card.record(told.append).used_mib is None
    assert [type(event) for event in told] == [ev.Gpu, ev.Gpu, ev.Warned]
    assert told[-1].message == "The driver stopped reporting on the GPU: GPU is lost."  # type: ignore[attr-defined]
    assert card.held_mib() is None
    nvml.answers = answers
    card.record(told.append)
    assert type(told[-1]) is ev.Gpu


@pytest.mark.parametrize(
    ("function", "answer", "said"),
    [
        ("nvmlInit", Nvml.NVMLError_LibRmVersionMismatch(), "restart the machine"),
        ("nvmlInit", Nvml.NVMLError("odd"), "does not answer: odd"),
        ("nvmlDeviceGetCount", 0, "knows no GPU"),
        ("nvmlDeviceGetHandleByIndex", Nvml.NVMLError("odd"), "does not answer"),
    ],
)
def test_other_reasons(nvml: Nvml, function: str, answer: Any, said: str) -> None:
    nvml.answers[function] = answer
    assert said in gpu.Sampler().read().gpu_reason


def test_package_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py" in gpu.Sampler().read().gpu_reason


def test_facts_for_doctor(nvml: Nvml) -> None:
    assert facts.gpu_facts() == facts.GpuFacts("RTX 2060", "580.10", (13, 1), 6144, 4096, (7, 5), 1)
    for name in ("nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion_v2", "nvmlDeviceGetMemoryInfo"):
        nvml.answers[name] = nvml.NVMLError_NotSupported()
    assert facts.gpu_facts() == facts.GpuFacts("RTX 2060", None, None, None, None, (7, 5), 1)
    nvml.answers["nvmlDeviceGetCount"] = 0
    assert facts.gpu_facts() == "the NVIDIA driver is there, but knows no GPU"
