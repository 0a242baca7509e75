"""Counts the time in which trainers worked on a run, for a limit of hours."""

from __future__ import annotations

from pathlib import Path

import msgspec

from training.contract.event_base import Seconds
from training.contract.files import open_file


class _Stamp(msgspec.Struct):
    type: str
    time: Seconds


def count_worked_seconds(path: Path) -> float:
    """Count the seconds from the start of each attempt to its last event, in the events.jsonl at `path`. The time
    between two attempts, as of a parked run, does not count, nor does what the keeper writes then: a run may be stopped
    after it was parked for hours. Returns 0 if there are no events."""
    decoder = msgspec.json.Decoder(_Stamp)
    total, started, last, is_held = 0.0, None, 0.0, False
    try:
        with open_file(path) as file:
            for line in file:
                try:
                    stamp = decoder.decode(line)
                except (ValueError, RecursionError):  # a damaged line
                    continue
                if stamp.type == "started":
                    total += max(0.0, last - started) if started is not None else 0.0
                    started, last, is_held = stamp.time, stamp.time, False
                elif stamp.type in ("held", "healed"):
                    is_held = True
                elif not is_held:
                    last = stamp.time
    except FileNotFoundError:
        return 0.0
    return total + (max(0.0, last - started) if started is not None else 0.0)
