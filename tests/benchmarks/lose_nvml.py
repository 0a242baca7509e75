"""Makes every call of NVML fail once the run's events have the step LOSE_NVML_AT_STEP, as for a card that fell off the
bus. For worn_card.py, which lets the trainer's Python import this as its sitecustomize."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path


def lose_card() -> None:
    events, step = Path(os.environ["LOSE_NVML_EVENTS"]), os.environ["LOSE_NVML_AT_STEP"]
    while f'"step":{step},'.encode() not in (events.read_bytes() if events.exists() else b""):
        time.sleep(0.1)
    import pynvml

    def fail(*_: object, **__: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    for name in dir(pynvml):
        if name.startswith("nvmlDevice"):
            setattr(pynvml, name, fail)


# The trainer is a fork of the process that reads this, and a fork takes no threads along.
os.register_at_fork(after_in_child=lambda: threading.Thread(target=lose_card, daemon=True).start())
