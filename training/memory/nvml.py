"""Loads NVML, the library of the NVIDIA driver that reads the GPU, and says in words why it can't be used."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from types import ModuleType

WSL_NVML = Path("/usr/lib/wsl/lib/libnvidia-ml.so.1")


class NvmlUnavailable(Exception):
    """Why NVML can't be used, in words."""


def load_nvml() -> ModuleType:
    """Return the module pynvml, initialised. Raises NvmlUnavailable."""
    try:
        import pynvml
    except ImportError:
        raise NvmlUnavailable("the package nvidia-ml-py is not installed") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if is_error(pynvml, error, "NVMLError_LibraryNotFound") and WSL_NVML.exists():
            # WSL2 puts the library where the loader does not look; once it is loaded, its name is enough.
            with suppress(OSError, pynvml.NVMLError):
                ctypes.CDLL(str(WSL_NVML))
                pynvml.nvmlInit()
                return pynvml
        raise NvmlUnavailable(describe_error(pynvml, error)) from None
    return pynvml


def is_error(nvml: ModuleType, error: Exception, *names: str) -> bool:
    """Return whether `error` is one of NVML's errors with these names. An old pynvml may lack some of them."""
    return any(isinstance(error, getattr(nvml, name, ())) for name in names)


def describe_error(nvml: ModuleType, error: Exception) -> str:
    """Return why the driver does not answer, as a part of a sentence."""
    if is_error(nvml, error, "NVMLError_LibraryNotFound"):
        return "no NVIDIA driver on this machine"
    if is_error(nvml, error, "NVMLError_DriverNotLoaded"):
        return "the NVIDIA driver is not loaded"
    if is_error(nvml, error, "NVMLError_LibRmVersionMismatch"):
        return "the NVIDIA driver was updated: restart the machine"
    if is_error(nvml, error, "NVMLError_GpuIsLost"):
        return "the GPU has fallen off the bus: restart the machine"
    if is_error(nvml, error, "NVMLError_NoPermission"):
        return "no permission to ask the NVIDIA driver"
    return f"the NVIDIA driver does not answer: {str(error) or type(error).__name__}"
