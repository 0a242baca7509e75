"""Decides how often the app sends how much to the terminal. It sends less over a slow or metered connection."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from codex_tui.base import settings
from codex_tui.base.errors import BadInput


@dataclass(frozen=True)
class Pace:
    tick: float = 1.0  # seconds between two updates of the run: a person can't read numbers that change faster
    frame: float = 0.1  # seconds between two updates of a streamed answer, whatever its speed
    low: bool = False


LOW = Pace(tick=2.5, frame=0.5, low=True)
FRAMES_PER_SECOND = "7"  # instead of 15; a person who types would notice fewer

pace = Pace()


def choose(low_bandwidth: bool | None) -> None:
    """Set `pace`. If `low_bandwidth` is None, settings.toml decides, and without a setting the pace is low over SSH.

    Textual reads the environment when it is imported, so call this before.
    """
    global pace
    if low_bandwidth is None:
        with suppress(BadInput):  # a damaged settings.toml must not hide a run; doctor reports it
            low_bandwidth = settings.load().low_bandwidth
    if low_bandwidth is None:
        low_bandwidth = any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))
    pace = LOW if low_bandwidth else Pace()
    if low_bandwidth:
        os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_SECOND)
        if os.environ.get(
            "COLORTERM"
        ):  # a code for one of 256 colours is 8 bytes shorter than one for 16 million colours
            os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "256")
