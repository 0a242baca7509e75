"""One line of what `doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    topic: str
    state: Literal["ok", "warning", "bad"]
    found: str
    advice: str = ""
