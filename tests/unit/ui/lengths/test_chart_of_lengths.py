"""The chart of the rows' lengths."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from codex_tui.ui.lengths.chart import ChartContent, draw_chart, find_edges

TOKENS = st.lists(st.integers(1, 100_000), min_size=1, max_size=60).map(sorted)
OPTIONS = st.sets(st.integers(16, 2**20), min_size=1, max_size=20).map(sorted)


@given(TOKENS, OPTIONS, st.data(), st.integers(1, 200), st.integers(1, 40))
def test_the_chart_fits_and_shows_rows_on_both_sides_of_the_length(
    ordered: list[int], options: list[int], data: st.DataObject, width: int, height: int
) -> None:
    content = ChartContent(ordered, options, data.draw(st.sampled_from(options)), "all rows")
    rows = [row.plain for row in draw_chart(content, width, height)]
    assert len(rows) == max(3, height)
    columns = [row for row in rows[1:-2] if row]
    assert all(len(row) == width and row.count("│") == 1 for row in columns)
    edges = find_edges(content, width)
    assert edges[0] <= ordered[0] <= ordered[-1] < edges[-1]
    if height < 4 or width < 20:
        return
    cursor = columns[-1].index("│")
    before = bisect_left(ordered, edges[cursor])
    beyond = len(ordered) - bisect_left(ordered, edges[cursor + 1])
    assert bool(columns[-1][:cursor].strip()) == bool(before)
    assert bool(columns[-1][cursor + 1 :].strip()) == bool(beyond)


def test_each_length_has_a_tick_and_the_picked_one_its_label() -> None:
    options = [128, 192, 256, 384, 512]
    rows = [row.plain for row in draw_chart(ChartContent([20, 90, 300, 500], options, 192, "half"), 80, 10)]
    assert rows[-2].count("┴") == 4
    cursor = rows[-2].index("┻")
    assert rows[1][cursor] == "│"
    assert rows[0][cursor:].startswith("╷ 192  half")
    assert rows[-1].split() == ["128", "192", "256", "384", "512"]
