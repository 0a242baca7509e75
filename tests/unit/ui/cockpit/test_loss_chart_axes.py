"""The axes of the loss chart: the scale of the losses, the unit of the steps, and the zoom."""

from __future__ import annotations

import pytest
from support.loss_chart import Host, draw, make_state, read_lines

from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.loss_chart import LossChart
from training.contract import events as ev
from training.history.reduce import reduce_all
from training.history.state import RunState


async def test_a_logarithmic_axis_is_labelled_as_one() -> None:
    text = await draw(make_state(100, 100), 78, 18, "cycle_scale")
    assert "logarithmic" in text.split("\n")[0]
    labels = [line.split("┤")[0].strip() for line in text.split("\n") if "┤" in line]
    assert labels == ["5.0", "2.0", "1.0", "0.5", "0.2", "0.1"]


def make_steep_state(*spikes: int) -> RunState:
    """The losses fall from 11 within 10 of 200 steps, and then from 0.6 to 0.2."""
    events: list[ev.Event] = []
    for step in range(1, 201):
        loss = 11.0 / step if step <= 10 or step in spikes else 0.6 - step / 500
        events.append(ev.Metrics(step=step, loss=40.0 if step in spikes else loss, seq=step - 1, time=1000.0 + step))
    return reduce_all(RunState(), [*events, ev.Done(step=200, seq=200, time=1201.0)])


def read_labels(text: str) -> list[float]:
    return [float(line.split("┤")[0]) for line in text.split("\n") if "┤" in line]


async def test_steep_first_losses_do_not_flatten_the_rest() -> None:
    text = await draw(make_steep_state(), 100, 18)
    assert "scaled to 90 %, max 11" in text.split("\n")[0]
    assert max(read_labels(text)) < 1.5
    log = await draw(make_steep_state(), 100, 18, "cycle_scale")
    assert "logarithmic" in log.split("\n")[0] and max(read_labels(log)) >= 10
    whole = await draw(make_steep_state(), 100, 18, *["cycle_scale"] * 2)
    assert "scaled" not in whole.split("\n")[0] and max(read_labels(whole)) >= 11
    assert await draw(make_steep_state(), 100, 18, *["cycle_scale"] * 3) == text


@pytest.mark.parametrize(
    ("state", "names"),
    [
        (make_steep_state(), ["log scale", "all values", "fit 90 %", "log scale"]),
        (make_state(100, 100), ["log scale", "linear scale", "log scale"]),
    ],
)
async def test_the_hint_names_the_next_scale(state: RunState, names: list[str]) -> None:
    app = Host()
    async with app.run_test(size=(100, 18)) as pilot:
        chart = app.query_one(LossChart)
        chart.show(WatchedRun(state))
        await pilot.pause()
        for name in names:
            assert ("g", name) in chart.hints()
            chart.cycle_scale()


async def test_one_spike_does_not_flatten_the_rest() -> None:
    text = await draw(make_steep_state(120), 100, 18)
    assert "max 40" in text.split("\n")[0]
    assert max(read_labels(text)) < 1.5


async def test_losses_that_fill_the_chart_are_all_shown() -> None:
    state = make_state(100, 100)
    assert "scaled" not in await draw(state, 100, 18)
    assert await draw(state, 100, 18, *["cycle_scale"] * 2) == await draw(state, 100, 18)


async def test_a_zoom_shows_a_part_of_the_run_and_follows_the_newest_step() -> None:
    app = Host()
    async with app.run_test(size=(100, 18)) as pilot:
        chart = app.query_one(LossChart)
        chart.show(WatchedRun(make_state(400, 400)))
        chart.focus()
        await pilot.press("plus", "plus")
        lines = read_lines(chart).split("\n")
        assert "zoomed" in lines[0]
        labels = [float(label) for label in lines[-1].split()[1:]]
        assert 300 <= labels[0] <= 320 and 390 <= labels[-1] <= 412
        chart.show(WatchedRun(make_state(600, 600)))
        assert 590 <= float(read_lines(chart).split()[-1]) <= 612
        await pilot.press("home")
        assert read_lines(chart).startswith("│ step 1 ")
        labels = [float(label) for label in read_lines(chart).split("\n")[-1].split()[1:]]
        assert labels[0] == 0  # the window goes with the cursor
        await pilot.press("minus", "minus", "minus", "escape")
        lines = read_lines(chart).split("\n")
        assert "zoomed" not in lines[0]
        assert lines[-1].split()[1] == "0" and lines[-1].split()[-1] == "600"
        assert not chart.check_action("close_cursor", ())


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
