"""Which GPU a process uses, by the variable CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import os
import re
from typing import Any

from training.contract.card_queue import CPU
from training.contract.config import get_table
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


def name_card(device: int | str) -> str:
    """Return one name for the card that hardware.device picks: "cpu", "gpu-0", or the UUID of a GPU that NVML does not
    number. The name stays the same while the driver is gone for a while."""
    visible = str(device) if isinstance(device, int) else first_visible_gpu()
    if device == "cpu" or not visible or (device == "auto" and not any(map(os.path.exists, _SIGNS_OF_A_GPU))):
        return CPU
    if visible.isdigit():
        return f"gpu-{visible}"
    number = _find_number(visible)
    return re.sub(r"[^A-Za-z0-9-]", "-", visible)[:64] if number is None else f"gpu-{number}"


def read_device(profile: dict[str, Any]) -> int | str:
    """Read hardware.device from a resolved profile: the first one if the run trains on several."""
    device = get_table(profile, "hardware").get("device", "auto")
    first = device[0] if isinstance(device, list) and device else device
    return first if isinstance(first, int) else str(first)


def describe_card(name: str) -> str:
    """Return the words for a card that `name_card` named."""
    return "the CPU" if name == CPU else f"GPU {name.removeprefix('gpu-')}" if name.startswith("gpu-") else name


def _find_number(uuid: str) -> int | None:
    """Ask the driver for the number of the GPU with this UUID; None if it does not tell."""
    try:
        nvml = load_nvml()
        return int(nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(uuid)))
    except Exception:  # noqa: BLE001  there may be no driver, no such GPU, or a part of one
        return None
