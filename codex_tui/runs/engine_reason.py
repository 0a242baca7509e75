"""Explains in a sentence what an engine says about a run. The sentences may have text from outside: clean them before
they are shown."""

from __future__ import annotations

import time

from training.contract.engine import EngineRecord

_NAMES = {"slurm": "Slurm", "ssh": "SSH", "local": "this machine"}


def describe_wait(record: EngineRecord) -> str:
    """Say why a run waits, such as "Slurm: other jobs come first."."""
    reason = record.reason or "it has not begun"
    return f"{name_place(record)}: {reason.rstrip('.')}."


def describe_silence(record: EngineRecord) -> str:
    """Say since when an engine does not answer, and why."""
    since = f" since {_format_time(record.since)}" if record.since else ""
    reason = f": {record.reason.rstrip('.')}" if record.reason else ""
    return f"no answer from {name_place(record)}{since}{reason}."


def describe_loss(record: EngineRecord, place: str) -> str:
    """Say how a run ended that wrote no last event. `place` says how far it had come, such as "at step 40"."""
    reason = f": {record.reason.rstrip('.')}." if record.reason else "."
    return f"It is gone from {name_place(record)} {place}{reason}"


def name_place(record: EngineRecord) -> str:
    """Name where a run was sent, for a sentence."""
    return record.host if record.engine == "ssh" and record.host else _NAMES[record.engine]


def _format_time(moment: float) -> str:
    """The time of the day, with the date if that was another day."""
    then, now = time.localtime(moment), time.localtime()
    return time.strftime("%H:%M" if then[:3] == now[:3] else "%d %b %H:%M", then)
