"""The event with which an attempt ends, read from the end of events.jsonl."""

from __future__ import annotations

from pathlib import Path

import msgspec

from training.contract.events import Done, Failed, Held, Stopped
from training.contract.files import open_file

WINDOW = 1 << 20  # bytes at the end of events.jsonl in which the last event of an attempt is searched

EndEvent = Done | Stopped | Failed | Held


class _Tagged(msgspec.Struct):
    type: str


def read_end_event(events: Path, since: int) -> EndEvent | None:
    """Read the last event of the newest attempt, or None if it wrote none.

    `since` is the size that events.jsonl had when its trainer was started: one that was killed at once has written
    nothing, not even that it has started.
    """
    try:
        with open_file(events) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - WINDOW, since if since <= size else 0))  # a shorter file has replaced the old one
            tail = file.read()
    except OSError:
        return None
    for line in reversed(tail.split(b"\n")[:-1]):
        try:
            kind = msgspec.json.decode(line, type=_Tagged).type
            if kind == "started":
                return None
            if kind in _END_KINDS:
                event: EndEvent = _decoder.decode(line)
                return event
        except (ValueError, RecursionError):
            continue
    return None


_decoder = msgspec.json.Decoder(EndEvent)
_END_KINDS = {kind.__struct_config__.tag for kind in EndEvent.__args__}
