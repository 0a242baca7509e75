"""Reads the time that a person gives as a deadline, such as 07:00 or +6h, and formats it again.

All times of day are local. In the hour that occurs twice when summer time ends, a time means the first one that is
still to come. A time that a change of the clocks skips is refused.
"""

from __future__ import annotations

import math
import re
import time
from datetime import datetime, timedelta

from codex_tui.base.errors import BadInput
from codex_tui.base.text import clean, shorten

EXAMPLES = '07:00 (the next one), "2026-11-29 07:00" or +6h'
HINT = f"Give a time such as {EXAMPLES}. +90m and +1h30m are possible too."
NEVER = "never"
"""What a person gives to lift the deadline of a run."""
MAX_YEARS = 10

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})[ T](\d{1,2}):(\d{2})")
_SPAN = re.compile(r"\+? *(?:(\d+) *d)? *(?:(\d+(?:\.\d+)?) *h)? *(?:(\d+) *m(?:in)?)?")


def parse_deadline(text: str, now: float | None = None) -> float:
    """Return the Unix seconds of the deadline `text`, seen from `now`. Raises BadInput for a text that is no time, and
    for a time that is past."""
    now = time.time() if now is None else now
    given = text.strip()
    try:
        deadline = _parse(given, now)
    except (ValueError, OverflowError):  # the 31st of February, or a number beyond all limits
        deadline = None
    if deadline is None:
        raise BadInput(f"{shorten(clean(given), 40) or 'An empty text'} is not a time.", HINT)
    if deadline <= now and _SPAN.fullmatch(given):
        raise BadInput(f"{given} gives the run no time.", HINT)
    if deadline <= now:
        current = format_deadline(now, now, with_date=True)
        raise BadInput(f"{format_deadline(deadline, now, with_date=True)} is past: it is {current} now.", HINT)
    if deadline > now + MAX_YEARS * 366 * 86400:
        raise BadInput(f"{shorten(clean(given), 40)} is more than {MAX_YEARS} years away.", HINT)
    return deadline


def parse_deadline_change(text: str, now: float | None = None) -> float:
    """Return what `parse_deadline` returns, and infinity for `NEVER`."""
    return math.inf if text.strip().lower() == NEVER else parse_deadline(text, now)


def format_deadline(deadline: float, now: float | None = None, *, with_date: bool = False) -> str:
    """Format the time as 07:00, or with the date if it is not within a day of `now`."""
    now = time.time() if now is None else now
    is_near = not with_date and abs(deadline - now) < 86400
    try:
        return time.strftime("%H:%M" if is_near else "%Y-%m-%d %H:%M", time.localtime(deadline))
    except (ValueError, OverflowError, OSError):  # a damaged file holds a time beyond all calendars
        return "an unknown time"


def _parse(text: str, now: float) -> float | None:
    if match := _CLOCK.fullmatch(text):
        hour, minute = map(int, match.groups())
        today = datetime.fromtimestamp(now)
        days = [today.replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(days=n) for n in (0, 1)]
        return next((moment for day in days for moment in _list_moments(day) if moment > now), None)
    if match := _DATE.fullmatch(text):
        year, month, day, hour, minute = map(int, match.groups())
        moments = _list_moments(datetime(year, month, day, hour, minute))
        return next((moment for moment in moments if moment > now), moments[0])
    if (match := _SPAN.fullmatch(text)) and any(match.groups()):
        days_, hours, minutes = (float(group or 0) for group in match.groups())
        return now + 86400 * days_ + 3600 * hours + 60 * minutes
    return None


def _list_moments(local: datetime) -> list[float]:
    """List the moments at which the local clock shows `local`: one, or two when summer time ends. Raises BadInput if
    there is none, because the clock is set forward over it."""
    moments = sorted({local.replace(fold=fold).timestamp() for fold in (0, 1)})
    real = [moment for moment in moments if datetime.fromtimestamp(moment) == local]
    if not real:
        raise BadInput(
            f"{local:%H:%M} does not exist on {local:%Y-%m-%d}: the clock is set forward over it.",
            "Give a time before or after it.",
        )
    return real
