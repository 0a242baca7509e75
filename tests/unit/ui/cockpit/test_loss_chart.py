"""The loss chart as text, at each size, and the number of cells that change when a point is added."""

from __future__ import annotations

import math

import pytest
from textual.app import App, ComposeResult

from codex_tui.runs.state import RunState, reduce_all
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.loss_chart import EVAL, LossChart
from codex_tui.ui.kit.painted import changed_spans
from training.contract import events as ev


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield LossChart()


def make_state(steps: int, total: int, *more: ev.Event) -> RunState:
    events: list[ev.Event] = [
        ev.Started(attempt=1, pid=1),
        ev.Resolved(total_steps=total, steps_per_epoch=10, train_rows=80, eval_rows=8),
        ev.Phase(name="training"),
    ]
    for step in range(1, steps + 1):
        loss = 3 * math.exp(-step / 25) + 0.2 + 0.15 * math.sin(step * 2.1)
        events.append(ev.Metrics(step=step, loss=round(loss, 4), tokens=step * 2048))
        if step % 20 == 0:
            events.append(ev.Eval(step=step, eval_loss=round(3 * math.exp(-step / 25) + 0.4, 4)))
    events += more
    for index, event in enumerate(events):
        event.seq, event.time = index, 1000.0 + index
    return reduce_all(RunState(), events)


def read_lines(chart: LossChart) -> str:
    return "\n".join(chart.render_line(y).text.rstrip() for y in range(chart.content_size.height))


async def draw(state: RunState, width: int, height: int, *actions: str) -> str:
    app = Host()
    async with app.run_test(size=(width, height)) as pilot:
        chart = app.query_one(LossChart)
        chart.show(WatchedRun(state))
        for action in actions:
            getattr(chart, action)()
        await pilot.pause()
        return read_lines(chart)


@pytest.mark.parametrize(("width", "height"), [(78, 18), (20, 6), (16, 4), (120, 30), (198, 50)])
async def test_every_size_has_a_legend_round_numbers_and_the_curve(width: int, height: int) -> None:
    lines = (await draw(make_state(100, 100, ev.Done(step=100)), width, height)).split("\n")
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    assert "loss 0." in lines[0]
    assert lines[-1].split()[-1] == "100"
    assert any("⠀" < cell <= "⣿" for cell in "".join(lines[1:]))
    assert EVAL in "".join(lines[1:])


async def test_the_chart_of_a_run_half_way() -> None:
    assert await draw(make_state(60, 120), 60, 14) == PICTURE


async def test_the_legend_leaves_out_parts_that_do_not_fit() -> None:
    state = make_state(60, 120)
    assert (await draw(state, 60, 10)).split("\n")[0] == "⠒ loss 0.5217  ━ smoothed 0.5045  ◆ eval 0.6722"
    assert (await draw(state, 36, 10)).split("\n")[0] == "⠒ loss 0.5217  ━ smoothed 0.5045"
    assert (await draw(state, 20, 6)).split("\n")[0] == "⠒ loss 0.5217"


async def test_a_chart_without_losses_says_why() -> None:
    assert "Waiting for the first step…" in await draw(RunState(), 78, 18)
    assert "No loss was logged." in await draw(make_state(0, 10, ev.Stopped(step=0)), 78, 18)
    assert "No finite loss yet." in await draw(make_state(0, 10, ev.Metrics(step=1, loss=None)), 78, 18)


async def test_a_logarithmic_axis_is_labelled_as_one() -> None:
    text = await draw(make_state(100, 100), 78, 18, "toggle_log_scale")
    assert "logarithmic" in text.split("\n")[0]
    labels = [line.split("┤")[0].strip() for line in text.split("\n") if "┤" in line]
    assert labels == ["5.0", "2.0", "1.0", "0.5", "0.2", "0.1"]


@pytest.mark.parametrize("height", range(9, 30))
async def test_both_ends_of_the_y_axis_have_a_label(height: int) -> None:
    state = make_state(30, 100, ev.Metrics(step=31, loss=7.0))
    rows = [line for line in (await draw(state, 78, height)).split("\n") if "┤" in line or "│" in line]
    assert "┤" in rows[0] and "┤" in rows[-1]


async def test_the_x_axis_goes_from_steps_to_time_to_tokens() -> None:
    state = make_state(100, 100, ev.Done(step=100))
    assert (await draw(state, 78, 18)).split("\n")[-1].startswith("steps")
    assert (await draw(state, 78, 18, "cycle_x_axis")).split("\n")[-1].split()[:3] == ["time", "0", "30s"]
    assert (await draw(state, 78, 18, *["cycle_x_axis"] * 2)).split("\n")[-1].split()[:3] == ["tokens", "0", "50k"]
    assert (await draw(state, 78, 18, *["cycle_x_axis"] * 3)).split("\n")[-1].startswith("steps")


async def test_a_point_that_is_not_finite_is_a_gap() -> None:
    events: list[ev.Event] = [
        ev.Metrics(step=step, loss=None if 20 <= step <= 40 else 1.0 + step / 100) for step in range(1, 61)
    ]
    for index, event in enumerate(events):
        event.seq = index
    lines = (await draw(reduce_all(RunState(), [*events, ev.Done(step=60)]), 68, 12)).split("\n")
    columns = ["".join(line[8 + at : 9 + at] for line in lines[1:-2]).strip() for at in range(60)]
    assert not any(columns[20:39])
    assert all(columns[:18]) and all(columns[42:58])


async def test_a_new_point_changes_a_handful_of_cells() -> None:
    app = Host()
    async with app.run_test(size=(100, 24)) as pilot:
        chart = app.query_one(LossChart)
        chart.show(WatchedRun(make_state(60, 120)))
        await pilot.pause()
        before = [chart.render_line(y) for y in range(24)]
        chart.show(WatchedRun(make_state(61, 120)))
        after = [chart.render_line(y) for y in range(24)]
        spans = [span for old, new in zip(before, after, strict=True) for span in changed_spans(old, new)]
        assert 1 <= sum(end - start for start, end in spans) <= 24


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
async def test_raw_smoothed_and_evaluations_differ_in_both_themes(theme: str) -> None:
    app = Host()
    async with app.run_test(size=(80, 20)):
        app.theme = theme
        chart = app.query_one(LossChart)
        styles = {chart.get_component_rich_style(f"loss-chart--{part}").color for part in ("raw", "smooth", "eval")}
        assert len(styles) == 3


PICTURE = """\
⠒ loss 0.5217  ━ smoothed 0.5045  ◆ eval 0.6722
    4 ┤
      │
    3 ┤⢇
      │⠈⠙⣄⡀
      │  ⠁⠱⡄
    2 ┤    ⠈⠚⣄⡀
      │      ⠁⠑◆⡠⡀
      │        ⠈ ⠉⠒⢆⣀ ⡀
    1 ┤            ⠈ ⠉⠑⠢◆⠤⣀⡀⢀
      │                  ⠁⠃⠈⠉⠉⠒⠒⠒◆
    0 ┤
      └┴─────────────────────┴─────────────────────┴────────
steps  0                    50                    100"""
