"""Deadlines as a person gives them, in a time zone with summer time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from codex_tui.base.deadline import format_deadline, parse_deadline, parse_deadline_change
from codex_tui.base.errors import BadInput


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    """The Unix seconds of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


EVENING = "2026-11-28 21:30"  # in UTC; 22:30 on the wall


@pytest.mark.parametrize(
    ("text", "now", "deadline"),
    [
        ("07:00", EVENING, "2026-11-29 06:00"),
        ("7:00", EVENING, "2026-11-29 06:00"),
        (" 22:31 ", EVENING, "2026-11-28 21:31"),
        ("22:30", EVENING, "2026-11-29 21:30"),  # just now: the next one is tomorrow
        ("00:00", EVENING, "2026-11-28 23:00"),
        ("2026-11-29 07:00", EVENING, "2026-11-29 06:00"),
        ("2026-11-29T07:00", EVENING, "2026-11-29 06:00"),
        ("+6h", EVENING, "2026-11-29 03:30"),
        ("+90m", EVENING, "2026-11-28 23:00"),
        ("+1h30m", EVENING, "2026-11-28 23:00"),
        ("+1.5h", EVENING, "2026-11-28 23:00"),
        ("6h", EVENING, "2026-11-29 03:30"),
        ("+1d", EVENING, "2026-11-29 21:30"),
        ("07:00", "2026-03-28 22:00", "2026-03-29 05:00"),  # the clocks are set forward in this night
        ("07:00", "2026-10-24 22:00", "2026-10-25 06:00"),  # and back in this one
        ("+8h", "2026-03-28 22:00", "2026-03-29 06:00"),
        ("02:30", "2026-10-24 22:00", "2026-10-25 00:30"),  # twice in this night: the first one
        ("02:30", "2026-10-25 00:45", "2026-10-25 01:30"),  # and the second, when the first is past
        ("2026-10-25 02:30", "2026-10-25 00:45", "2026-10-25 01:30"),
    ],
)
def test_a_time_is_the_next_one_on_the_local_clock(text: str, now: str, deadline: str) -> None:
    assert parse_deadline(text, at(now)) == at(deadline)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "soon is not a time."),
        ("", "An empty text is not a time."),
        ("+", "+ is not a time."),
        ("6", "6 is not a time."),
        ("25:00", "25:00 is not a time."),
        ("07:60", "07:60 is not a time."),
        ("2026-02-31 07:00", "2026-02-31 07:00 is not a time."),
        ("2026-11-28 07:00", "2026-11-28 07:00 is past: it is 2026-11-28 22:30 now."),
        ("+0h", "+0h gives the run no time."),
        (" 0m", "0m gives the run no time."),
        ("+999999999999999h", "+999999999999999h is more than 10 years away."),
        ("+" + "9" * 400 + "h", f"+{'9' * 38}… is more than 10 years away."),
        ("2099-12-31 07:00", "2099-12-31 07:00 is more than 10 years away."),
        ("9999-12-31 23:59", "9999-12-31 23:59 is not a time."),
        ("2027-03-28 02:30", "02:30 does not exist on 2027-03-28: the clock is set forward over it."),
        ("\x1b[31m", "␛[31m is not a time."),
    ],
)
def test_nonsense_and_the_past_are_refused_with_what_to_do(text: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_deadline(text, at(EVENING))
    assert refused.value.message == message
    assert refused.value.hint


def test_a_skipped_time_is_refused_as_the_next_one_too() -> None:
    with pytest.raises(BadInput, match="02:30 does not exist on 2026-03-29"):
        parse_deadline("02:30", at("2026-03-28 22:00"))


def test_the_date_is_shown_if_the_deadline_is_more_than_a_day_away() -> None:
    now = at(EVENING)
    assert format_deadline(at("2026-11-29 06:00"), now) == "07:00"
    assert format_deadline(at("2026-11-30 06:00"), now) == "2026-11-30 07:00"
    assert format_deadline(1e11, now) in ("5138-11-16 10:46", "an unknown time")


def test_a_deadline_can_be_lifted() -> None:
    assert parse_deadline_change(" Never", at(EVENING)) == math.inf
    assert parse_deadline_change("07:00", at(EVENING)) == at("2026-11-29 06:00")
