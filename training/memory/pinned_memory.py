"""How much host memory this machine page-locks, found by trying: WSL2 gives 1 to 2 GB, in small blocks, and its refusal
looks like a full card. Asks the CUDA driver itself, so that the app can ask as well as the trainer."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

MIB = 2**20
_LIBRARIES = ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1")
_PORTABLE = 1  # CU_MEMHOSTALLOC_PORTABLE


class PinnedUnknown(Exception):
    """Why it can't be tried, in words."""


def lockable_mib(wanted: float, block: float) -> float:
    """MiB that can be locked at once, `wanted` at most, in blocks of `block` MiB; all is given back. Takes about a
    second for each 2 GB. Raises PinnedUnknown where there is no CUDA driver or no card."""
    with _context() as cuda:
        spare = psutil.virtual_memory().available / MIB / 2  # trying must not push others out
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
    """The driver's library with the first visible card's primary context current."""
    cuda = _library()
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        raise PinnedUnknown("the CUDA driver knows no card")
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        raise PinnedUnknown("the card takes no further program")
    try:
        cuda.cuCtxPushCurrent_v2(context)
        try:
            yield cuda
        finally:
            cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def _library() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            cuda = ctypes.CDLL(name)
            cuda.cuMemHostAlloc, cuda.cuCtxPushCurrent_v2, cuda.cuDevicePrimaryCtxRelease_v2  # noqa: B018
        except OSError:
            continue
        except AttributeError:
            raise PinnedUnknown("the CUDA driver is too old to ask") from None
        return cuda
    raise PinnedUnknown("no CUDA driver on this machine")
