"""A loss chart in an app of its own, and its cells as text."""

from __future__ import annotations

import math

from textual.app import App, ComposeResult

from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.loss_chart import LossChart
from training.contract import events as ev
from training.history.reduce import reduce_all
from training.history.state import RunState


class Host(App[None]):
    """An app that shows nothing but a loss chart."""

    def __init__(self, chart: LossChart | None = None) -> None:
        super().__init__()
        self.chart = chart or LossChart()

    def compose(self) -> ComposeResult:
        yield self.chart


def make_state(steps: int, total: int, *more: ev.Event) -> RunState:
    """The state of a run that is at step `steps` of `total` and evaluates every 20 steps, and then writes `more`."""
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
    """Draw the chart of `state` in a terminal of that size after `actions` of the chart, and return its lines."""
    app = Host()
    async with app.run_test(size=(width, height)) as pilot:
        chart = app.query_one(LossChart)
        chart.show(WatchedRun(state))
        for action in actions:
            getattr(chart, action)()
        await pilot.pause()
        return read_lines(chart)
