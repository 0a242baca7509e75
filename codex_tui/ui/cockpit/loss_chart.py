"""The chart of a run: its losses, or another curve, over steps, time or tokens, with a cursor and a zoom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.style import Style
from textual.binding import Binding, BindingType
from textual.strip import Strip

from codex_tui.runs.curves import Curves
from codex_tui.runs.evaluation_curves import build_pass_curve
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.chart_legend import HEALED, CurveShown, describe_cursor, describe_values, fit_legend
from codex_tui.ui.cockpit.chart_window import ChartWindow
from codex_tui.ui.cockpit.small_charts import draw_small_charts, has_room
from codex_tui.ui.kit import plot
from codex_tui.ui.kit.curve_chart import CurveChart
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.messages import HintsChanged
from training.contract.run_directory import RunDirectory
from training.history.series import Series

LOSS, PASS_RATE = "loss", "pass rate"
EVAL, BEST = "◆", "★"
"""The signs of evaluations. They differ from those of the curves, so that nobody needs to tell colours apart."""
MIN_EVAL_DISTANCE = 3
"""Columns between two diamonds at least, so that the curve stays visible between them."""
PAGE = 10  # columns that the cursor moves with Shift
READ_BUDGET = 0.05  # seconds to read the events of another curve at once


class LossChart(CurveChart, can_focus=True):
    """Shows the losses at first. The other curves of `run` are read when someone asks for them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"loss-chart--{part}" for part in ("raw", "smooth", "eval", "axis", "label", "cursor")
    }
    DEFAULT_CSS = """
    LossChart {
        height: 1fr;
        min-height: 3;
        & > .loss-chart--raw { color: $foreground 40%; }
        & > .loss-chart--smooth { color: $primary; text-style: bold; }
        & > .loss-chart--eval { color: $warning; text-style: bold; }
        & > .loss-chart--axis { color: $foreground 35%; }
        & > .loss-chart--label { color: $foreground 75%; }
        & > .loss-chart--cursor { color: $foreground; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Read the value to the left", show=False),
        Binding("right", "move(1)", "Read the value to the right", show=False),
        Binding("shift+left", f"move(-{PAGE})", "Read a value further left", show=False),
        Binding("shift+right", f"move({PAGE})", "Read a value further right", show=False),
        Binding("home", "move(-1000000)", "Read the first value", show=False),
        Binding("end", "move(1000000)", "Read the last value", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom into the chart", show=False),
        Binding("minus", "zoom(2.0)", "Zoom out of the chart", show=False),
        Binding("escape", "close_cursor", "Whole chart", show=False),
    ]

    def __init__(self, run: RunDirectory | None = None, watched: WatchedRun | None = None) -> None:
        super().__init__()
        self._watched = watched or WatchedRun()
        self._curves = Curves(run) if run else None
        self._curve = LOSS  # the name of the shown curve
        self._window = ChartWindow()
        self._drawn: tuple[float, float, int] = (0.0, 1.0, 1)  # the x axis as painted: low, high, columns
        self._is_reading = False  # whether a timer will read more of the other curves

    def show(self, watched: WatchedRun) -> None:
        self._watched = watched
        if self._curve not in (LOSS, PASS_RATE) or has_room(*self.content_size):
            self._read_curves()
        self.repaint()

    @property
    def title(self) -> str:
        return self._curve[0].upper() + self._curve[1:]

    def cycle_curve(self) -> None:
        """Show the next curve that the events of the run have."""
        self._read_curves()
        self._curve = self._next_curve()
        self.repaint()

    def _next_curve(self) -> str:
        names = [LOSS, *self._find_others()]
        return names[(names.index(self._curve) + 1) % len(names)] if self._curve in names else LOSS

    def _find_others(self) -> dict[str, Series]:
        """Find the curves beside the loss, as far as they are read. The pass rates are always known."""
        others: dict[str, Series] = {}
        if self._watched.state.pass_rates:
            others[PASS_RATE] = build_pass_curve(self._watched.state)
        if self._curves:
            others |= {name: series for name, series in self._curves.series.items() if series}
        return others

    def _read_curves(self) -> None:
        """Read new events of the other curves. A long history is read in parts, between which the screen is free."""
        if self._curves and not self._is_reading:
            self._curves.poll(READ_BUDGET)
            if not self._curves.complete:
                self._is_reading = True
                self.set_timer(READ_BUDGET, self._continue_reading)

    def _continue_reading(self) -> None:
        self._is_reading = False
        self._read_curves()
        self.repaint()

    def action_move(self, columns: int) -> None:
        self._window.move(self._shown().series, self._axis, *self._drawn, columns)
        self._changed()

    def action_zoom(self, factor: float) -> None:
        self._window.zoom(factor, int(plot.find_axis_end(self._watched, "steps")))
        self._changed()

    def action_close_cursor(self) -> None:
        self._window.close()
        self._changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Leave Escape to the screen while there is neither a cursor nor a zoom."""
        return action != "close_cursor" or self._window.cursor is not None or self._window.is_zoomed

    def _changed(self) -> None:
        self.repaint()
        self.refresh_bindings()
        self.post_message(HintsChanged())

    def hints(self) -> list[Hint]:
        own: list[Hint] = [self._hint_at_scale(), self._hint_at_x_axis()]
        if self._curves:
            following = self._next_curve()
            own.append(("y", "other curves" if following == self._curve else following))
        if self._window.cursor is not None or self._window.is_zoomed:
            return [("← →", "read values"), ("+ -", "zoom"), ("escape", "whole chart"), *own]
        return [*own, ("← →", "read values"), ("+ -", "zoom")]

    def paint(self, width: int, height: int) -> list[Strip]:
        shown = self._shown()
        low, high = self._window.find_range(shown.series, self._axis, plot.find_axis_end(self._watched, self._axis))
        below: list[Strip] = []
        if self._curves and has_room(width, height):
            below = draw_small_charts(self._find_others(), self._axis, low, high, width, self._style)
        return self._paint_curve(shown, low, high, width, height - len(below)) + below

    def _paint_curve(self, shown: CurveShown, low: float, high: float, width: int, height: int) -> list[Strip]:
        evals = list(self._find_evals(shown, low, high))
        # The margin depends on the labels, and these on the values, so the widest usual margin is taken first.
        columns = shown.series.downsample(self._axis, low, high, max(1, width - plot.MIN_NAMED_MARGIN - 1) * 2)
        bounds = self._scale.find_range(columns, [loss for _, loss, _ in evals])
        if bounds is None:
            return self._paint_empty(width, height)
        legend = self._paint_legend(shown, bounds, width)
        if height < 4 or width < 16:
            return [legend]
        frame = plot.Frame(bounds, width, height - 1, log=self._scale.is_log)
        self._drawn = (low, high, frame.columns)
        if frame.columns * 2 != len(columns):
            columns = shown.series.downsample(self._axis, low, high, frame.columns * 2)
        styles = {name: self._style(name) for name in ("raw", "smooth", "eval", "cursor", "label", "axis")}
        raw, line = plot.draw_curve(columns, frame.rows, frame.y, smooth=shown.smooth)
        marks = self._place_heals(shown, frame) | self._place_marks(shown, evals, frame)
        plotted = plot.compose_rows(raw, line, marks, self._find_cursor_column(shown), styles)
        return [legend, *frame.draw(plotted, self._axis, low, high, styles)]

    def _shown(self) -> CurveShown:
        state = self._watched.state
        if self._curve == LOSS:
            return CurveShown(LOSS, state.losses, state.evals, state.last, healed=state.healed)
        series = self._find_others().get(self._curve, Series())
        pass_rates = state.pass_rates if self._curve == PASS_RATE else ()
        return CurveShown(self._curve, series, pass_rates=pass_rates, healed=state.healed)

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"loss-chart--{part}")

    def _find_evals(self, shown: CurveShown, low: float, high: float) -> Iterator[tuple[float, float, int]]:
        """The evaluations in the window, the newest first: x value, loss or pass rate, and step."""
        for step, value in reversed(shown.marks):
            x = shown.series.x_of_step(step, self._axis)
            if x is not None and low <= x <= high:
                yield float(x), value, step

    def _place_marks(
        self, shown: CurveShown, evals: list[tuple[float, float, int]], frame: plot.Frame
    ) -> dict[tuple[int, int], str]:
        """The best evaluation, which has a sign of its own, and the newest one always have a place."""
        low, high, columns = self._drawn
        best = shown.best[0] if shown.best else None
        always = (best, evals[0][2]) if evals else ()
        marks: dict[tuple[int, int], str] = {}
        for x, value, step in sorted(evals, key=lambda mark: (mark[2] != best, mark[2] not in always)):
            column = plot.place_column(x, low, high, columns)
            is_free = all(abs(column - other) >= MIN_EVAL_DISTANCE for _, other in marks)
            if 0 <= frame.y.place(value) < frame.y.dots and (is_free or step in always):
                marks.setdefault((frame.find_row(value), column), BEST if step == best else EVAL)
        return marks

    def _place_heals(self, shown: CurveShown, frame: plot.Frame) -> dict[tuple[int, int], str]:
        """A heal is marked at the lower end of the plot, because its step has no value yet."""
        low, high, columns = self._drawn
        marks: dict[tuple[int, int], str] = {}
        for event in shown.healed:
            x = shown.series.x_of_step(event.failed_step, self._axis)
            column = -1 if x is None else plot.place_column(x, low, high, columns)
            if 0 <= column < columns:
                marks[frame.rows - 1, column] = HEALED
        return marks

    def _find_cursor_column(self, shown: CurveShown) -> int | None:
        low, high, columns = self._drawn
        if self._window.cursor is None:
            return None
        x = shown.series.x_of_step(self._window.cursor, self._axis)
        column = None if x is None else plot.place_column(x, low, high, columns)
        return column if column is not None and 0 <= column < columns else None

    def _paint_legend(self, shown: CurveShown, bounds: plot.YRange, width: int) -> Strip:
        notes = self._scale.describe(bounds)
        if self._window.is_zoomed:
            notes.append("zoomed")
        if self._curve not in (LOSS, PASS_RATE) and self._curves and not self._curves.complete:
            notes.append("reading …")
        parts = (
            describe_values(shown, EVAL, BEST)
            if self._window.cursor is None
            else describe_cursor(shown, self._window.cursor, self._axis, EVAL)
        )
        return fit_legend(parts, notes, width, self._style)

    def _paint_empty(self, width: int, height: int) -> list[Strip]:
        if self._window.is_zoomed:
            text = "No value was logged here."
        elif self._watched.ended:
            text = "No loss was logged."
        elif self._watched.state.losses:
            text = "No finite loss yet."
        else:
            text = "Waiting for the first step…"
        return self._draw_text(text, self._style("label"), width, height)
