"""What the app and the keeper agree on about jobs of Slurm."""

from __future__ import annotations

JOB_VARIABLE = "CODEX_TUI_JOB"
"""The batch script that the app submits sets this variable to the job's id, so that the keeper knows its own job."""

EARLY_SIGNAL_SECONDS = 60
"""Slurm may warn of the time limit up to this many seconds earlier than it was asked to."""


def parse_time(text: str) -> int:
    """Return the seconds of a time limit as Slurm reads it: minutes, minutes:seconds, hours:minutes:seconds, or
    days-hours with minutes and seconds after that."""
    days, _, rest = text.rpartition("-")
    numbers = [int(number) for number in rest.split(":")]
    if days:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, (*numbers, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
