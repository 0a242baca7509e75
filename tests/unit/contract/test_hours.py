"""The hours of the day in which a run may train."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from training.contract.hours import WRITE_IT_AS, Hours, find_problem

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def show(moment: float) -> str:
    return datetime.fromtimestamp(moment, BERLIN).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("23:00-07:00", ["23:00:00", "23:59:59", "00:00:00", "06:59:59"], ["07:00:00", "12:00:00", "22:59:59"]),
        ("9:30 - 17:00", ["09:30:00", "16:59:59"], ["09:29:59", "17:00:00", "00:00:00"]),
        ("00:00-12:00", ["00:00:00", "11:59:59"], ["12:00:00", "23:59:59"]),
    ],
)
def test_hours_include_their_start_and_not_their_end(text: str, inside: list[str], outside: list[str]) -> None:
    hours = Hours.parse(text)
    assert [clock for clock in inside if not hours.include(at(f"2026-11-28T{clock}"))] == []
    assert [clock for clock in outside if hours.include(at(f"2026-11-28T{clock}"))] == []


def test_next_start_is_today_or_tomorrow_over_the_end_of_a_month() -> None:
    hours = Hours.parse("23:00-07:00")
    assert show(hours.find_next_start(at("2026-11-28T07:02"))) == "2026-11-28T23:00+01:00"
    assert show(hours.find_next_start(at("2026-11-28T23:00"))) == "2026-11-29T23:00+01:00"
    assert show(Hours.parse("01:00-05:00").find_next_start(at("2026-12-31T23:30"))) == "2027-01-01T01:00+01:00"


def test_summer_time_moves_no_start() -> None:
    """The night when the clock goes forward has 23 hours, and the one when it goes back has 25."""
    hours = Hours.parse("03:30-07:00")
    assert show(hours.find_next_start(at("2026-03-28T22:00"))) == "2026-03-29T03:30+02:00"
    assert show(hours.find_next_start(at("2026-10-24T22:00"))) == "2026-10-25T03:30+01:00"
    twice = Hours.parse("02:15-02:45")  # this time comes twice, and then not at all
    assert twice.include(at("2026-10-25T02:30", fold=0)) and twice.include(at("2026-10-25T02:30", fold=1))
    skipped = twice.find_next_start(at("2026-03-29T00:00"))
    assert show(skipped)[:10] == "2026-03-29" and skipped > at("2026-03-29T00:00")


@pytest.mark.parametrize("text", ["23-7", "11pm-7am", "23:00", "23:00-07:00-09:00", "", "23:0-7:00", "٢٣:00-07:00x"])
def test_other_forms_are_refused_with_the_right_form(text: str) -> None:
    assert find_problem(text) == WRITE_IT_AS


def test_impossible_times_are_named() -> None:
    assert find_problem("23:00-24:00").startswith("24:00 is no time of the day; write two times")
    assert find_problem("23:61-07:00").startswith("23:61 is no time of the day")
    assert find_problem("07:00-07:00") == "the two times are the same; unset the field to train at all times"
    assert find_problem("23:00–07:00") == ""  # as a phone's keyboard writes it
    assert str(Hours.parse("9:30-17:00")) == "09:30-17:00"
