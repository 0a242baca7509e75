"""The two clocks of a time limit. A test replaces them by clocks of its own."""

from __future__ import annotations

import time


def read_unix() -> float:
    """Read the time of day in Unix seconds. It jumps when the clock is set, as after a laptop's sleep."""
    return time.time()


def read_awake() -> float:
    """Read the seconds that this machine was awake, from some moment on. It never jumps."""
    return time.monotonic()
