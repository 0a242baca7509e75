"""Which GPU a process uses, by the variable CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import os
import re
from typing import Any

from training.contract.config import get_table
from training.contract.ticket import CPU
from training.memory.nvml import load_nvml

_SIGNS_OF_A_GPU = ("/dev/nvidia0", "/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libnvidia-ml.so.1")


def first_visible_gpu() -> str:
    """Read the first entry of CUDA_VISIBLE_DEVICES: a number or a UUID. Returns "0" if the variable is unset, and "" if
    it hides every GPU."""
    return visible_gpu(0)


def visible_gpu(position: int) -> str:
    """Read the entry of CUDA_VISIBLE_DEVICES at `position`. Returns the position itself if the variable is unset, and
    "" if there is no such entry."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible is not None else []
    return str(position) if visible is None else names[position] if position < len(names) else ""


def list_visible(device: int | str | list[int], processes: int = 1) -> list[str]:
    """List the GPU of each process that trains, as CUDA_VISIBLE_DEVICES names it; "" is the CPU. `device` is the
    profile's hardware.device."""
    if isinstance(device, list):
        return [str(number) for number in device]
    if isinstance(device, int):
        return [str(device)]
    return ["" if device == "cpu" else visible_gpu(position) for position in range(processes)]


def name_cards(device: int | str | list[int], processes: int = 1) -> list[str]:
    """Return one name for each card that the processes of a run train on: "cpu", "gpu-0", or the UUID of a GPU that
    NVML does not number. A name stays the same while the driver is gone for a while."""
    if device == "auto" and not any(map(os.path.exists, _SIGNS_OF_A_GPU)):
        return [CPU]
    return sorted({_name_card(visible) for visible in list_visible(device, processes)})


def read_devices(profile: dict[str, Any]) -> tuple[int | str | list[int], int]:
    """Read hardware.device from a resolved profile, and the number of processes that train together."""
    device = get_table(profile, "hardware").get("device", "auto")
    processes = get_table(profile, "launch").get("processes")
    if isinstance(device, list) and device and all(isinstance(number, int) for number in device):
        return device, len(device)
    return device if isinstance(device, int) else str(device), processes if isinstance(processes, int) else 1


def _name_card(visible: str) -> str:
    if not visible:
        return CPU
    if visible.isdigit():
        return f"gpu-{visible}"
    number = _find_number(visible)
    return re.sub(r"[^A-Za-z0-9-]", "-", visible)[:64] if number is None else f"gpu-{number}"


def _find_number(uuid: str) -> int | None:
    """Ask the driver for the number of the GPU with this UUID; None if it does not tell."""
    try:
        nvml = load_nvml()
        return int(nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(uuid)))
    except Exception:  # noqa: BLE001  there may be no driver, no such GPU, or a part of one
        return None
