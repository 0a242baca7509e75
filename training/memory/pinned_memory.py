"""Finds out how much host memory this machine lets a program page-lock, by trying.

WSL2 allows 1 to 2 GB, in small blocks, and when it refuses more, the error looks like a full GPU. This module calls the
CUDA driver itself, so that both the app and the trainer can use it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from training.contract.units import MIB

_LIBRARIES = ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1")
_PORTABLE = 1  # CU_MEMHOSTALLOC_PORTABLE


class PinnedUnknown(Exception):
    """The amount can't be found out. The text says why."""


def lockable_mib(wanted: float, block: float) -> float:
    """Lock up to `wanted` MiB in blocks of `block` MiB, free them again, and return how much could be locked.

    This takes about a second for each 2 GB. Raises PinnedUnknown if there is no CUDA driver or no GPU.
    """
    with _context() as cuda:
        spare = psutil.virtual_memory().available / MIB / 2  # don't push other programs out of memory
        blocks: list[ctypes.c_void_p] = []
        try:
            while (len(blocks) + 1) * block <= min(wanted + block, spare):
                pointer = ctypes.c_void_p()
                if cuda.cuMemHostAlloc(ctypes.byref(pointer), ctypes.c_size_t(round(block * MIB)), _PORTABLE):
                    break
                blocks.append(pointer)
                if len(blocks) * block >= wanted:
                    break
            return min(wanted, len(blocks) * block)
        finally:
            for pointer in blocks:
                cuda.cuMemFreeHost(pointer)


@contextmanager
def _context() -> Iterator[ctypes.CDLL]:
    """Load the driver's library, and make the primary context of the first visible GPU the current one."""
    cuda = _load_library()
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        raise PinnedUnknown("the CUDA driver finds no GPU")
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        raise PinnedUnknown("the GPU accepts no further program")
    try:
        cuda.cuCtxPushCurrent_v2(context)
        try:
            yield cuda
        finally:
            cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def _load_library() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            cuda = ctypes.CDLL(name)
            cuda.cuMemHostAlloc, cuda.cuCtxPushCurrent_v2, cuda.cuDevicePrimaryCtxRelease_v2  # noqa: B018
        except OSError:
            continue
        except AttributeError:
            raise PinnedUnknown("the CUDA driver is too old") from None
        return cuda
    raise PinnedUnknown("no CUDA driver on this machine")
