"""The loss chart as text, at each size, and the number of cells that change when a point is added."""

from __future__ import annotations

import math

import pytest
from support.fake_runs import append_events, make_run
from support.loss_chart import Host, draw, make_state, read_lines

from codex_tui.runs.follower import RunFollower
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.chart_legend import HEALED
from codex_tui.ui.cockpit.loss_chart import BEST, EVAL, LossChart
from codex_tui.ui.kit.painted import changed_spans
from training.contract import events as ev
from training.history.reduce import reduce_all
from training.history.state import RunState


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


async def test_the_best_evaluation_has_a_sign_of_its_own() -> None:
    losses = [0.28, 0.24, 0.18, 0.19, 0.21, 0.22]
    evals = [ev.Eval(step=90 + number, eval_loss=loss) for number, loss in enumerate(losses)]
    text = await draw(make_state(89, 100, *evals), 120, 18)
    assert "◆ eval 0.2200  ★ best 0.1800 at 92" in text.split("\n")[0]
    plotted = "".join(text.split("\n")[1:])
    assert plotted.count(BEST) == 1
    assert EVAL in plotted
    assert BEST not in await draw(make_state(60, 120), 120, 18)  # the newest is the best


async def test_a_cursor_reads_the_values_of_a_point() -> None:
    app = Host()
    async with app.run_test(size=(100, 18)) as pilot:
        chart = app.query_one(LossChart)
        chart.show(WatchedRun(make_state(60, 120)))
        chart.focus()
        await pilot.press("left")
        assert read_lines(chart).startswith("│ step 60  loss 0.5217  ━ smoothed 0.5045  ◆ eval 0.6722 at 60")
        assert any("│" in line[8:] for line in read_lines(chart).split("\n")[1:])
        await pilot.press("left")
        assert read_lines(chart).startswith("│ step 59  loss 0.3360")
        await pilot.press("home")
        assert read_lines(chart).startswith("│ step 1  loss 3.2118  ━ smoothed 3.2118")
        await pilot.press("left", "shift+right")
        step = int(read_lines(chart).split()[2])
        assert 10 <= step <= 16
        chart.cycle_x_axis()
        await pilot.pause()
        assert read_lines(chart).startswith(f"│ step {step} (0:{step:02})")
        await pilot.press("escape")
        assert read_lines(chart).startswith("⠒ loss 0.5217")


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


@pytest.mark.usefixtures("empty_home")
async def test_a_new_point_of_all_curves_changes_few_cells() -> None:
    def metrics(step: int) -> ev.Metrics:
        return ev.Metrics(
            step=step, loss=1.0 + math.sin(step) / 9, learning_rate=2e-4 - step * 1e-6, grad_norm=0.7, tokens=step,
            tokens_per_second=1000.0 + step % 7,
        )  # fmt: skip

    resolved = ev.Resolved(total_steps=120, steps_per_epoch=10, train_rows=80, eval_rows=8)
    run = make_run("a", ev.Started(attempt=1, pid=1), resolved, *map(metrics, range(1, 61)), alive=True)
    follower = RunFollower(run)
    follower.poll(60.0)
    app = Host(LossChart(run, follower.watched))
    async with app.run_test(size=(131, 24)) as pilot:
        chart = app.query_one(LossChart)
        chart.show(follower.watched)
        await pilot.pause()
        assert "learning rate 1.40e-4" in read_lines(chart)
        before = [chart.render_line(y) for y in range(24)]
        assert all(segment.style and segment.style.bgcolor for strip in before for segment in strip)
        append_events(run, metrics(61))
        follower.poll(60.0)
        chart.show(follower.watched)
        after = [chart.render_line(y) for y in range(24)]
        assert "learning rate 1.39e-4" in read_lines(chart)
        spans = [span for old, new in zip(before, after, strict=True) for span in changed_spans(old, new)]
        assert 1 <= sum(end - start for start, end in spans) <= 60


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


async def test_the_pass_rate_is_a_curve_with_a_sign_for_each_evaluation() -> None:
    rates = [
        ev.PassRate(step=step, passes=passes, questions=40, trained_passes=passes // 2, trained_questions=24)
        for step, passes in ((20, 0), (40, 30), (60, 26))
    ]
    counts = "26 of 40 (trained 13 of 24, unseen 13 of 16)"
    lines = (await draw(make_state(60, 120, *rates), 78, 14, "cycle_curve")).split("\n")
    assert lines[0] == f"━ pass rate 65 %  {counts}"
    wide = await draw(make_state(60, 120, *rates), 118, 14, "cycle_curve")
    assert wide.split("\n")[0] == f"━ pass rate 65 %  ★ best 75 % at 40  {counts}"
    body = "".join(lines[1:])
    assert (body.count(EVAL), body.count(BEST)) == (2, 1)
    assert "loss 0." in (await draw(make_state(60, 120, *rates), 78, 14, "cycle_curve", "cycle_curve"))


async def test_a_heal_is_marked_at_its_step_with_what_changed() -> None:
    heal = ev.Healed(
        kind="gpu_memory", reason="r", step=20, failed_step=30, changes={"model.offload_layers": (0, 6)}, frees_mib=99
    )
    more = [ev.Started(attempt=2, pid=2, resume_step=20), ev.Phase(name="training")]
    more += [ev.Metrics(step=step, loss=1.5, tokens=step) for step in range(21, 51)]
    state = make_state(29, 50, heal, *more)
    drawn = (await draw(state, 100, 18)).splitlines()
    assert f"{HEALED} healed at 30" in drawn[0]
    [row] = [line for line in drawn[1:] if HEALED in line]
    assert drawn.index(row) == 15  # right above the axis
    left = row.index("┤")
    assert abs(row.index(HEALED) - left - 0.6 * (100 - left)) < 3
    chart = LossChart(watched=WatchedRun(state))
    app = Host(chart)
    async with app.run_test(size=(100, 18)) as pilot:
        chart.action_move(1_000_000)
        while chart._window.cursor != 30:
            chart.action_move(-1)
        await pilot.pause()
        assert f"{HEALED} healed offload_layers 0 → 6" in read_lines(chart)
