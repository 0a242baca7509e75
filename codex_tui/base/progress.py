"""Progress of long work, as the work reports it. `commands/progress.py` prints it, screens draw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """What is going on, and how much of it is done; `total` 0: that can't be told."""

    step: str
    done: int = 0
    total: int = 0
    unit: Literal["B", "rows"] = "B"


Tell = Callable[[Progress], None]


def tell_nobody(_progress: Progress) -> None:
    pass
