"""The chart of several runs as text: letters, legend, axes, and curves that lie on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from rich.color import Color, ColorSystem
from textual.app import App, ComposeResult

from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.compare.chart import RunsChart, ShownRun
from codex_tui.ui.themes import DARK, LIGHT, MAX_CURVES, for_16_colours
from training.contract import events as ev
from training.history.reduce import reduce_all
from training.history.state import RunState


def make_run(letter: str, height: float, steps: int = 100, name: str = "", pause: float = 1.0) -> ShownRun:
    events: list[ev.Event] = [ev.Started(attempt=1, pid=1), ev.Phase(name="training")]
    for step in range(1, steps + 1):
        events.append(ev.Metrics(step=step, loss=height + math.exp(-step / 25), tokens=step * 100))
        if step % 20 == 0:
            events.append(ev.Eval(step=step, eval_loss=height + 1.5))
    events.append(ev.Done(step=steps))
    for index, event in enumerate(events):
        event.seq, event.time = index, 1000.0 + index * pause
    return ShownRun(letter, name or f"run-{letter}", WatchedRun(reduce_all(RunState(), events)))


class Host(App[None]):
    def __init__(self, runs: Sequence[ShownRun]) -> None:
        super().__init__()
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name
        self.chart = RunsChart(runs)

    def compose(self) -> ComposeResult:
        yield self.chart


async def draw(runs: Sequence[ShownRun], width: int = 78, height: int = 16, *actions: str) -> list[str]:
    app = Host(runs)
    async with app.run_test(size=(width, height)) as pilot:
        for action in actions:
            getattr(app.chart, action)()
        await pilot.pause()
        return [app.chart.render_line(y).text.rstrip() for y in range(height)]


async def test_each_curve_has_its_letter_at_its_end_and_on_its_way() -> None:
    lines = await draw([make_run("A", 1.0), make_run("B", 2.0), make_run("C", 3.0, steps=50)])
    assert lines[0].split() == ["A", "run-A", "1.0226", "B", "run-B", "2.0226", "C", "run-C", "3.1495"]
    plot = lines[1:]
    assert all("".join(plot).count(letter) == 2 for letter in "ABC")
    ends = {letter: max(line.rfind(letter) for line in plot) for letter in "ABC"}
    rows = {letter: next(y for y, line in enumerate(plot) if line.rfind(letter) == ends[letter]) for letter in "ABC"}
    assert ends["A"] == ends["B"] == 77 and 40 < ends["C"] < 46  # the third run has half of the steps
    assert rows["C"] < rows["B"] < rows["A"]
    assert lines[-1].split() == ["steps", "0", "20", "40", "60", "80", "100"]


async def test_letters_of_curves_that_lie_on_each_other_stay_apart() -> None:
    lines = await draw([make_run(letter, 1.0) for letter in "ABCD"])
    assert all("".join(lines[1:]).count(letter) == 2 for letter in "ABCD")


async def test_curves_that_lie_on_each_other_are_coloured_in_turn() -> None:
    app = Host([make_run("A", 1.0), make_run("B", 1.0)])
    async with app.run_test(size=(78, 16)) as pilot:
        await pilot.pause()
        colours = {
            segment.style.color.name
            for y in range(1, 13)
            for segment in app.chart.render_line(y)
            if segment.style and segment.style.color and any("⠀" < cell <= "⣿" for cell in segment.text)
        }
        assert {DARK.variables["curve-1"], DARK.variables["curve-2"]} <= colours


async def test_the_evaluation_losses_over_time_and_tokens() -> None:
    runs = [make_run("A", 1.0), make_run("B", 2.0, pause=60.0)]
    lines = await draw(runs, 78, 16, "cycle_curve")
    assert lines[0].split() == ["A", "run-A", "2.5000", "B", "run-B", "3.5000"]
    assert (await draw(runs, 78, 16, "cycle_curve", "cycle_x_axis"))[-1].split()[:2] == ["time", "0"]
    assert (await draw(runs, 78, 16, "cycle_x_axis", "cycle_x_axis"))[-1].split() == [
        "tokens", "0", "2k", "4k", "6k", "8k", "10k",
    ]  # fmt: skip


async def test_a_logarithmic_scale_says_so() -> None:
    assert "logarithmic" in "\n".join(await draw([make_run("A", 0.01), make_run("B", 2.0)], 78, 16, "cycle_scale"))


@pytest.mark.parametrize(("width", "height"), [(76, 9), (20, 6), (16, 3), (196, 40)])
async def test_eight_runs_with_long_names_fit(width: int, height: int) -> None:
    runs = [make_run(letter, 1.0 + at, name=f"a-long-name-of-a-run-{at}") for at, letter in enumerate("ABCDEFGH")]
    lines = await draw(runs, width, height)
    assert max(map(len, lines)) <= width
    if height > 8:
        legend = " ".join(lines[:2])
        assert all(f"{letter} " in legend and f"-{at} " in legend for at, letter in enumerate("ABCDEFGH"))


async def test_a_chart_without_values_says_why() -> None:
    empty = [ShownRun("A", "first"), ShownRun("B", "second")]
    assert "No loss was logged yet." in "\n".join(await draw(empty))
    assert "No run has been evaluated yet." in "\n".join(await draw(empty, 78, 16, "cycle_curve"))


async def test_runs_without_a_loss_do_not_hide_the_others() -> None:
    lines = await draw([ShownRun("A", "empty"), make_run("B", 1.0)])
    assert lines[0].split() == ["A", "empty", "–", "B", "run-B", "1.0226"]
    assert "".join(lines[1:]).count("B") == 2


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_the_curves_have_different_colours_also_in_16(theme: object) -> None:
    assert theme in (DARK, LIGHT)
    chosen = DARK if theme is DARK else LIGHT
    names = [f"curve-{number}" for number in range(1, MAX_CURVES + 1)]
    for shown, system in ((chosen, ColorSystem.EIGHT_BIT), (for_16_colours(chosen), ColorSystem.STANDARD)):
        colours = {Color.parse(shown.variables[name]).downgrade(system).number for name in names}
        assert len(colours) == MAX_CURVES
        assert Color.parse(shown.background or "").downgrade(system).number not in colours
