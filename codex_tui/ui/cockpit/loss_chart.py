"""The loss chart: a faint line for the raw loss, a strong one for the smoothed loss, diamonds for evaluations."""

from __future__ import annotations

from itertools import groupby
from math import isfinite
from typing import ClassVar, get_args

from rich.style import Style
from textual.strip import Strip

from codex_tui.runs.series import Axis
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit import chart
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.painted import Painted, make_strip

RAW, SMOOTH, EVAL = "⠒", "━", "◆"
"""The signs of the legend. They differ, so that nobody needs to tell colours apart."""
MIN_NAMED_MARGIN = 6
"""The margin must have this width to hold the name of the x axis."""
MIN_EVAL_DISTANCE = 3
"""Columns between two diamonds at least, so that the curve stays visible between them."""


class LossChart(Painted):
    """The losses of a run over steps, time or tokens, on a linear or logarithmic scale."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "loss-chart--raw",
        "loss-chart--smooth",
        "loss-chart--eval",
        "loss-chart--axis",
        "loss-chart--label",
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
    }
    """

    def __init__(
        self,
        watched: WatchedRun | None = None,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._watched = watched or WatchedRun()
        self._axis: Axis = "steps"
        self._log = False

    def show(self, watched: WatchedRun) -> None:
        self._watched = watched
        self.repaint()

    def toggle_log_scale(self) -> None:
        self._log = not self._log
        self.repaint()

    def cycle_x_axis(self) -> None:
        """Change the x axis: steps, then time, then tokens, then steps again."""
        self._axis = self._next_axis()
        self.repaint()

    def _next_axis(self) -> Axis:
        axes: tuple[Axis, ...] = get_args(Axis)
        return axes[(axes.index(self._axis) + 1) % len(axes)]

    def hints(self) -> list[Hint]:
        return [("g", "linear scale" if self._log else "log scale"), ("x", f"over {self._next_axis()}")]

    def paint(self, width: int, height: int) -> list[Strip]:
        bounds = self._bounds()
        if bounds is None:
            return self._paint_empty(width, height)
        if height < 4 or width < 16:
            return [self._legend(width)]
        with_line = height >= 8  # a lower chart has only the labels of the x axis
        rows = height - 2 - with_line
        low, high, values = self._y_ticks(*bounds, rows)
        labels = chart.label_ticks(values)
        margin = max(MIN_NAMED_MARGIN if width >= 40 else 4, *(len(label) + 1 for label in labels))
        columns = width - margin - 1
        y = chart.Scale(low, high, rows * 4, self._log)
        x_high = self._x_high()
        at_row = {rows - 1 - y.to_dot(value) // 4: label for value, label in zip(values, labels, strict=True)}
        label, axis = self._style("label"), self._style("axis")
        lines = [self._legend(width)]
        for row, plot in enumerate(self._plot(columns, rows, y, x_high)):
            tick = at_row.get(row)
            left = make_strip((f"{tick or '':>{margin - 1}} ", label), ("┤" if tick else "│", axis))
            lines.append(Strip.join([left, plot]))
        return lines + self._x_axis(margin, columns, x_high, with_line)

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"loss-chart--{part}")

    def _bounds(self) -> tuple[float, float] | None:
        """The lowest and highest loss in the chart; None if it is empty."""
        bounds = self._watched.state.losses.bounds()
        values = list(bounds) if bounds else []
        values += [loss for event in self._watched.state.evals if (loss := event.eval_loss) is not None]
        return (min(values), max(values)) if values else None

    def _y_ticks(self, low: float, high: float, rows: int) -> tuple[float, float, list[float]]:
        max_ticks = max(2, (rows + 1) // 3)
        if self._log and high > 0:
            low, high = chart.snap_log(max(low, high * 1e-6), high)
            return low, high, chart.find_log_ticks(low, high, max_ticks)
        values = chart.snap(low, high, max_ticks)
        return values[0], values[-1], values

    def _x_high(self) -> float:
        """The upper end of the x axis: the run's last step if it is known, else a round number, so that the axis rarely
        changes while the curve grows."""
        state = self._watched.state
        xs = state.losses.values(self._axis)
        latest = float(xs[-1]) if xs else 0.0
        if self._axis == "steps":
            latest = max(latest, state.step, *(event.step for event in state.evals[-1:]))
            if state.total_steps and not self._watched.ended:
                return max(latest, state.total_steps)
        if self._watched.ended:
            return max(latest, 1.0)
        if self._axis == "time":
            return chart.round_duration(latest)
        return chart.round_up(max(latest, 10.0))

    def _plot(self, columns: int, rows: int, y: chart.Scale, x_high: float) -> list[Strip]:
        losses = self._watched.state.losses
        raw, smooth = chart.Raster(columns, rows), chart.Raster(columns, rows)
        before: tuple[int, int, int, int, int] | None = None
        for x, column in enumerate(losses.downsample(self._axis, 0.0, x_high, columns * 2)):
            if column is None:
                continue
            if not isfinite(column.low):
                before = None  # a gap, because no finite loss was logged here
                continue
            low, high, mean, level = map(y.to_dot, column)
            raw.draw_column(x, low, high)
            if before is None:
                smooth.set_dot(x, level)
            else:
                x0, low0, high0, mean0, level0 = before
                smooth.draw_line(x0, level0, x, level)
                if x > x0 + 1 or low > high0 or high < low0:
                    raw.draw_line(x0, mean0, x, mean)
            before = x, low, high, mean, level
        return self._compose_rows(raw, smooth, self._eval_marks(columns, rows, y, x_high))

    def _eval_marks(self, columns: int, rows: int, y: chart.Scale, x_high: float) -> dict[tuple[int, int], str]:
        marks = {}
        free = columns
        for event in reversed(self._watched.state.evals):  # from the last one, which is always drawn
            x = self._watched.state.losses.x_of_step(event.step, self._axis)
            if event.eval_loss is not None and x is not None:
                column = min(columns - 1, int(x / x_high * columns))
                if column < free:
                    marks[rows - 1 - y.to_dot(event.eval_loss) // 4, column] = EVAL
                    free = column - MIN_EVAL_DISTANCE + 1
        return marks

    def _compose_rows(self, raw: chart.Raster, smooth: chart.Raster, marks: dict[tuple[int, int], str]) -> list[Strip]:
        """Lay evaluations over the smoothed line, and that over the raw one. A cell shows only the topmost of them."""
        styles = {"eval": self._style("eval"), "smooth": self._style("smooth"), "raw": self._style("raw")}
        lines = []
        for row, (faint, strong) in enumerate(zip(raw.rows(), smooth.rows(), strict=True)):
            cells = [
                ("smooth", chr(0x2800 | line)) if line else ("raw", chr(0x2800 | dots) if dots else " ")
                for dots, line in zip(faint, strong, strict=True)
            ]
            for (mark_row, column), sign in marks.items():
                if mark_row == row:
                    cells[column] = ("eval", sign)
            runs = groupby(cells, lambda cell: cell[0])
            lines.append(make_strip(*(("".join(text for _, text in run), styles[kind]) for kind, run in runs)))
        return lines

    def _x_axis(self, margin: int, columns: int, x_high: float, with_line: bool) -> list[Strip]:
        max_ticks = max(1, columns // 12)
        if self._axis == "time":
            values = chart.find_duration_ticks(x_high, max_ticks)
            labels = [chart.label_duration(value) for value in values]
        else:
            values = chart.find_ticks(0.0, x_high, max_ticks, whole=True)
            labels = chart.label_ticks(values)
        line, text = ["─"] * columns, [" "] * (margin + 1 + columns)
        if margin >= MIN_NAMED_MARGIN:
            text[: len(self._axis)] = self._axis
        free = margin
        for value, label in zip(values, labels, strict=True):
            column = min(columns - 1, int(value / x_high * columns))
            line[column] = "┴"
            start = min(margin + 1 + column - len(label) // 2, len(text) - len(label))
            if start >= free:
                text[start : start + len(label)] = label
                free = start + len(label) + 1
        lines = [make_strip((" " * margin + "└" + "".join(line), self._style("axis")))] if with_line else []
        return [*lines, make_strip(("".join(text), self._style("label")))]

    def _legend(self, width: int) -> Strip:
        """The signs with their meaning and last value. Parts that do not fit into `width` are left out."""
        state = self._watched.state
        label = self._style("label")
        parts: list[tuple[str, Style, str]] = []
        if state.last:
            loss = state.last.loss
            parts.append((RAW, self._style("raw"), f" loss {loss:.4f}" if loss is not None else " loss NaN/inf"))
        if state.losses and isfinite(smooth := state.losses.smooth[-1]):
            parts.append((SMOOTH, self._style("smooth"), f" smoothed {smooth:.4f}"))
        if state.evals and (eval_loss := state.evals[-1].eval_loss) is not None:
            parts.append((EVAL, self._style("eval"), f" eval {eval_loss:.4f}"))
        if self._log:
            parts.append(("", label, "logarithmic"))
        room = width
        segments: list[tuple[str, Style]] = []
        for sign, style, text in parts:
            room -= len(sign) + len(text) + 2
            if room + 2 < 0:
                break
            segments += [(sign, style), (text + "  ", label)]
        return make_strip(*segments)

    def _paint_empty(self, width: int, height: int) -> list[Strip]:
        if self._watched.ended:
            text = "No loss was logged."
        elif self._watched.state.losses:
            text = "No finite loss yet."
        else:
            text = "Waiting for the first step…"
        line = make_strip((text[:width].center(width), self._style("label")))
        return [Strip.blank(width, self.rich_style)] * ((height - 1) // 2) + [line]
