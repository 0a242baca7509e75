"""Tests of the geometry of charts: round ticks, scales within their dots, and the dots of a raster."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tui.ui.kit import chart

SENSIBLE = st.floats(1e-6, 1e9)


def is_round(value: float) -> bool:
    if value == 0:
        return True
    mantissa = abs(value) / 10 ** math.floor(math.log10(abs(value)))
    return any(math.isclose(mantissa, digit, rel_tol=1e-6) for digit in (1, 2, 2.5, 5, 10))


@given(SENSIBLE, st.integers(1, 12))
def test_steps_are_round_and_within_the_maximum(span: float, max_parts: int) -> None:
    step = chart.round_step(span, max_parts)
    assert is_round(step)
    assert span / step <= max_parts * (1 + 1e-6)
    assert span / step > max_parts / 2.6  # the step is not much larger than necessary


@given(st.floats(-1e6, 1e6), SENSIBLE, st.integers(1, 12))
def test_a_snapped_range_holds_the_values_and_ends_on_ticks(low: float, span: float, max_parts: int) -> None:
    high = low + span
    ticks = chart.snap(low, high, max_parts)
    slack = 1e-6 * max(abs(low), abs(high))
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= max_parts + 2


def test_a_snapped_range_stays_while_values_stay_within() -> None:
    assert chart.snap(0.41, 2.68, 4) == chart.snap(0.35, 2.9, 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-9, 1e9])
def test_a_range_of_one_value_has_room_around_it(value: float) -> None:
    low, *_, high = chart.snap(value, value, 4)
    assert low < high and low <= value <= high


@given(st.floats(1e-6, 1e6), st.floats(1, 1e6))
def test_logarithmic_ranges_end_on_round_numbers(low: float, ratio: float) -> None:
    first, last = chart.snap_log(low, low * ratio)
    assert first <= low * (1 + 1e-6) and last >= low * ratio * (1 - 1e-6) and first < last
    assert is_round(first) and is_round(last)
    ticks = chart.find_log_ticks(first, last, 5)
    assert ticks and len(ticks) <= 6 and all(is_round(tick) for tick in ticks)


def test_counts_have_whole_ticks() -> None:
    assert chart.find_ticks(0, 3, 8, whole=True) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([0.0, 1.0, 2.0], ["0", "1", "2"]),
        ([0.0, 20_000.0, 40_000.0], ["0", "20k", "40k"]),
        ([0.0, 2_500_000.0], ["0.0", "2.5M"]),
        ([0.0001, 0.0002], ["0.0001", "0.0002"]),
    ],
)
def test_labels_are_as_short_as_possible(values: list[float], labels: list[str]) -> None:
    assert chart.label_ticks(values) == labels


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0"), (30, "30s"), (90, "1m30s"), (3600, "1h"), (5400, "1h30m"), (90_061, "1d1h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert chart.label_duration(seconds) == text


@given(st.floats(0, 1e8), st.integers(1, 10))
def test_time_axes_end_at_a_usual_length_of_time(seconds: float, max_parts: int) -> None:
    high = chart.round_duration(seconds)
    assert high >= seconds
    ticks = chart.find_duration_ticks(0.0, high, max_parts)
    assert ticks[0] == 0 and len(ticks) <= max_parts + 1


@given(st.floats(-10, 10), st.floats(0.1, 20), st.floats(-100, 100), st.integers(1, 200))
def test_a_scale_keeps_values_on_its_dots(low: float, span: float, value: float, dots: int) -> None:
    scale = chart.Scale(low, low + span, dots)
    assert 0 <= scale.to_dot(value) < dots
    assert (scale.to_dot(low), scale.to_dot(low + span)) == (0, dots - 1)


def test_a_logarithmic_scale_gives_each_power_the_same_room() -> None:
    scale = chart.Scale(0.01, 100, 41, log=True)
    assert [scale.to_dot(value) for value in (0.01, 0.1, 1, 10, 100, 0, -5)] == [0, 10, 20, 30, 40, 0, 0]


def draw(raster: chart.Raster) -> list[str]:
    return ["".join(chr(0x2800 | cell) for cell in row) for row in raster.rows()]


def test_a_raster_puts_dots_where_they_belong() -> None:
    raster = chart.Raster(2, 2)
    for x, y in ((0, 0), (3, 7), (99, 0), (0, -1)):
        raster.set_dot(x, y)
    assert draw(raster) == ["⠀⠈", "⡀⠀"]


@given(st.integers(0, 7), st.integers(0, 23), st.integers(0, 23))
def test_a_column_is_its_dots(x: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    fast, slow = chart.Raster(4, 6), chart.Raster(4, 6)
    fast.draw_column(x, low, high)
    for y in range(low, high + 1):
        slow.set_dot(x, y)
    assert draw(fast) == draw(slow)


def test_a_line_joins_its_ends() -> None:
    raster = chart.Raster(4, 1)
    raster.draw_line(0, 0, 7, 3)
    assert draw(raster) == ["⣀⠤⠒⠉"]
