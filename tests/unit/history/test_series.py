"""Compares the series with plain lists: it does not depend on how it is filled, and downsampling keeps extremes."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from training.history.series import BLOCK, Series

LOSSES = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=4 * BLOCK)


def filled(losses: list[float | None], first_step: int = 1) -> Series:
    series = Series()
    steps = list(range(first_step, first_step + len(losses)))
    series.extend(steps, losses, [step * 0.5 for step in steps], [step * 10 for step in steps])
    return series


def contents(series: Series) -> list[list[float]]:
    columns = (series.steps, series.losses, series.smooth, series.times, series.tokens)
    return [["nan" if value != value else value for value in column] for column in columns]


@given(LOSSES, st.lists(st.integers(1, 4 * BLOCK), max_size=6))
def test_slices_give_the_same_as_one_piece(losses: list[float | None], cuts: list[int]) -> None:
    series = Series()
    edges = sorted({0, len(losses), *(cut for cut in cuts if cut < len(losses))})
    for start, end in pairwise(edges):
        steps = list(range(start + 1, end + 1))
        series.extend(steps, losses[start:end], [step * 0.5 for step in steps], [step * 10 for step in steps])
    assert contents(series) == contents(filled(losses))


@settings(max_examples=60)
@given(LOSSES, st.integers(1, 40), st.floats(0, 100), st.floats(1, 400))
def test_downsampling_gives_what_brute_force_gives(
    losses: list[float | None], columns: int, low: float, width: float
) -> None:
    series, high = filled(losses), low + width
    summaries = series.downsample("steps", low, high, columns)
    edges = [low + index * (high - low) / columns for index in range(columns)] + [math.nextafter(high, math.inf)]
    assert len(summaries) == columns
    for column, start, end in zip(summaries, edges, edges[1:], strict=False):
        inside = [index for index in range(len(losses)) if start <= index + 1 < end]
        points = [index for index in inside if losses[index] is not None]
        if not inside:
            assert column is None
        elif not points:
            assert column is not None and math.isnan(column.low) and math.isnan(column.smooth)
        else:
            values = [losses[index] for index in points]
            assert column is not None
            assert (column.low, column.high) == (min(values), max(values))
            assert math.isclose(column.mean, sum(values) / len(values), rel_tol=1e-9, abs_tol=1e-6)
            smooth = sum(series.smooth[index] for index in points) / len(points)
            assert math.isclose(column.smooth, smooth, rel_tol=1e-9, abs_tol=1e-6)


def test_the_smoothed_curve_begins_on_the_losses_and_continues_as_a_moving_average() -> None:
    series = filled([4.0, 2.0])
    assert list(series.smooth) == [4.0, 4.0 - 2.0 * 20 / 21]
    series = filled([1.0] * 200 + [2.0])
    assert math.isclose(series.smooth[-1], 1.1)


def test_a_point_that_is_not_finite_is_a_gap_and_does_not_disturb_the_average() -> None:
    series = filled([2.0, None, float("nan"), 4.0])
    assert math.isnan(series.losses[1]) and math.isnan(series.smooth[2])
    assert series.smooth[3] == filled([2.0, 4.0]).smooth[1]
    assert series.bounds() == (2.0, 4.0)


def test_a_repeated_step_replaces_itself_and_all_later_ones() -> None:
    series = filled([5.0] * 200)
    series.append(101, 1.0, 50.5, 1010)
    assert list(series.steps) == list(range(1, 102))
    assert contents(series) == contents(filled([5.0] * 100 + [1.0]))
    assert series.bounds() == (1.0, 5.0)


@given(LOSSES, st.integers(0, 300))
def test_cutting_leaves_the_series_as_if_the_rest_had_never_been(losses: list[float | None], step: int) -> None:
    series, expected = filled(losses), filled(losses[:step])
    series.cut_after(step)
    assert contents(series) == contents(expected)
    more = list(range(step + 1, step + 150))
    for one in (series, expected):
        one.extend(more, [1.5] * len(more), [float(at) for at in more], more)
    assert contents(series) == contents(expected)
    assert repr(series.downsample("steps", 0, 500, 9)) == repr(expected.downsample("steps", 0, 500, 9))


def test_a_batch_whose_steps_go_back_keeps_the_later_ones() -> None:
    series = Series()
    series.extend([1, 2, 3, 2, 3], [1.0, 2.0, 3.0, 20.0, 30.0], [0.0] * 5, [0] * 5)
    assert list(series.steps) == [1, 2, 3]
    assert list(series.losses) == [1.0, 20.0, 30.0]


def test_an_empty_series_has_no_bounds_and_only_empty_columns() -> None:
    assert Series().bounds() is None
    assert Series().downsample("tokens", 0, 10, 3) == [None, None, None]


def test_a_step_lies_where_the_last_point_up_to_it_does() -> None:
    series = filled([1.0, 1.0, 1.0])
    assert series.x_of_step(2, "steps") == 2
    assert series.x_of_step(2, "time") == 1.0
    assert series.x_of_step(9, "tokens") == 30
    assert series.x_of_step(0, "tokens") is None


def test_the_smoothed_curve_of_a_short_steep_run_stays_close() -> None:
    series = filled([7.0 - 0.1 * step for step in range(54)])
    assert max(smooth - loss for smooth, loss in zip(series.smooth, series.losses, strict=True)) < 0.3


def test_the_smoothed_curve_of_a_long_run_is_calm() -> None:
    series = filled([1.0 + 0.5 * (-1) ** step for step in range(2000)])
    assert max(abs(smooth - 1.0) for smooth in series.smooth[-200:]) < 0.03
