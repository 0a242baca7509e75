"""Which GPU a process uses, by the variable CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import os


def first_visible_gpu() -> str:
    """Read the first entry of CUDA_VISIBLE_DEVICES: a number or a UUID. Returns "0" if the variable is unset, and "" if
    it hides every GPU."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
