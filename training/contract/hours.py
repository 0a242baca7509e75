"""The hours of the day in which a run may train (keeper.hours), such as "23:00-07:00"."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

_FORM = re.compile(r"(\d{1,2}):(\d\d) ?[-\N{EN DASH}] ?(\d{1,2}):(\d\d)")
WRITE_IT_AS = 'write two times of the day as "23:00-07:00"'


class Hours(NamedTuple):
    """Two times of the day in minutes since midnight. The hours go over midnight if `end` is before `start`."""

    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Raises ValueError, which says what is wrong, for a text that is not two times of the day."""
        if not (match := _FORM.fullmatch(text.strip())):
            raise ValueError(WRITE_IT_AS)
        numbers = [int(number) for number in match.groups()]
        for hour, minute in (numbers[:2], numbers[2:]):
            if hour > 23 or minute > 59:
                raise ValueError(f"{hour:02}:{minute:02} is no time of the day; {WRITE_IT_AS}")
        hours = cls(60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3])
        if hours.start == hours.end:
            raise ValueError("the two times are the same; unset the field to train at all times")
        return hours

    def __str__(self) -> str:
        return f"{format_minutes(self.start)}-{format_minutes(self.end)}"

    def include(self, now: float) -> bool:
        """Return whether `now`, in Unix seconds, is within the hours by this machine's local time."""
        minute = read_minute(now)
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def find_next_start(self, now: float) -> float:
        """Return when the hours begin next, in Unix seconds. A change to or from summer time is taken into account."""
        today = time.localtime(now)
        for days in (0, 1):
            date = (today.tm_year, today.tm_mon, today.tm_mday + days)
            start = time.mktime((*date, self.start // 60, self.start % 60, 0, 0, 0, -1))
            if start > now:
                return start
        return start


def find_problem(text: str) -> str:
    """Return why `text` is no value of keeper.hours, or "" if it is one."""
    try:
        Hours.parse(text)
    except ValueError as error:
        return str(error)
    return ""


def read_minute(now: float) -> int:
    """Return the minutes since midnight of `now`, in Unix seconds, by this machine's local time."""
    local = time.localtime(now)
    return 60 * local.tm_hour + local.tm_min


def format_minutes(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
