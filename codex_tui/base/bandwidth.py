"""How much is sent to the terminal, and how often: less of it over a link that is slow or paid by the byte."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from codex_tui.base import settings
from codex_tui.base.errors import BadInput


@dataclass(frozen=True)
class Pace:
    tick: float = 1.0  # seconds between two looks at the run: numbers that change faster can't be read
    frame: float = 0.1  # a streamed answer is shown in steps of this length, whatever its speed
    low: bool = False


LOW = Pace(tick=2.5, frame=0.5, low=True)
FRAMES_PER_SECOND = "7"  # a second, of 15; fewer would be felt while one types

pace = Pace()


def choose(asked: bool | None) -> None:
    """By what was asked, else by settings.toml, else low over SSH. To be called before Textual is imported."""
    global pace
    if asked is None:
        with suppress(BadInput):  # doctor tells of it; it must not hide a run
            asked = settings.load().low_bandwidth
    if asked is None:
        asked = any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))
    pace = LOW if asked else Pace()
    if asked:
        os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_SECOND)
        if os.environ.get("COLORTERM"):  # a colour of 256 is 8 bytes shorter than one of 16 million
            os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "256")
