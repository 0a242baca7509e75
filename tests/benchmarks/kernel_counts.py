"""Counts the kernels that a torch profiler saw."""

from __future__ import annotations

from typing import Any


def measure_kernels(profiler: Any) -> dict[str, Any]:
    """The number of kernels, and the seconds in which at least one ran."""
    from torch.autograd import DeviceType

    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and "Memcpy" not in event.name and "Memset" not in event.name
    )
    busy, reached = 0.0, float("-inf")
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return {"kernels": len(spans), "busy_seconds": busy / 1e6}
