"""One chart with the curves of several runs, each in its own colour and with its letter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import isfinite
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from textual.strip import Strip

from codex_tui.base.text import shorten_start
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.compare.curves import CURVE_NAMES, CurveName, build_curve, reduce_to_line
from codex_tui.ui.kit import figures, plot
from codex_tui.ui.kit.chart import Raster
from codex_tui.ui.kit.curve_chart import CurveChart
from codex_tui.ui.kit.painted import make_strip
from codex_tui.ui.themes import MAX_CURVES
from training.history.series import ChartColumn, Series

MIN_LEGEND_ENTRY = 19  # cells of a run in the legend
LEGEND_GAP = 3
SHARED_CELLS = 2  # where curves lie on each other, each of them colours this many cells in turn


@dataclass
class ShownRun:
    """A run in the chart. `name` is clean."""

    letter: str
    name: str
    watched: WatchedRun = field(default_factory=WatchedRun)

    def get_curve(self, name: CurveName) -> Series:
        return build_curve(name, self.watched.state)


class RunsChart(CurveChart):
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "runs-chart--axis",
        "runs-chart--label",
        *(f"runs-chart--curve-{number}" for number in range(1, MAX_CURVES + 1)),
    }
    DEFAULT_CSS = (
        """
    RunsChart {
        height: 1fr;
        min-height: 3;
        & > .runs-chart--axis { color: $foreground 35%; }
        & > .runs-chart--label { color: $foreground 75%; }
    """
        + "".join(
            f"& > .runs-chart--curve-{number} {{ color: $curve-{number}; text-style: bold; }}\n"
            for number in range(1, MAX_CURVES + 1)
        )
        + "}"
    )

    def __init__(self, runs: Sequence[ShownRun]) -> None:
        super().__init__()
        self._runs = runs
        self._curve: CurveName = "loss"

    @property
    def title(self) -> str:
        curve = "Smoothed loss" if self._curve == "loss" else self._curve.capitalize()
        return f"{curve} over {self._axis}"

    def cycle_curve(self) -> None:
        self._curve = self._find_next_curve()
        self.repaint()

    def _find_next_curve(self) -> CurveName:
        return CURVE_NAMES[(CURVE_NAMES.index(self._curve) + 1) % len(CURVE_NAMES)]

    def hints(self) -> list[tuple[str, str]]:
        return [("y", self._find_next_curve()), self._hint_at_x_axis(), self._hint_at_scale()]

    def paint(self, width: int, height: int) -> list[Strip]:
        curves = [run.get_curve(self._curve) for run in self._runs]
        high = max(plot.find_axis_end(run.watched, self._axis) for run in self._runs)
        room = max(1, width - plot.MIN_NAMED_MARGIN - 1)
        lines = [self._reduce(curve, high, room) for curve in curves]
        bounds = self._scale.find_range([column for line in lines for column in line], [])
        notes = [] if bounds is None else [*self._list_notes(), *self._scale.describe(bounds)]
        legend = [*self._paint_legend(curves, notes, width)]
        if bounds is None:
            return [*legend, *self._paint_empty(width, height - len(legend))]
        if height - len(legend) < 3 or width < 16:
            return legend
        frame = plot.Frame(bounds, width, height - len(legend), log=self._scale.is_log)
        if frame.columns != room:
            lines = [self._reduce(curve, high, frame.columns) for curve in curves]
        rasters = [plot.draw_curve(line, frame.rows, frame.y, smooth=False)[1] for line in lines]
        styles = {name: self._style(name) for name in ("label", "axis")}
        plotted = self._draw_plot(rasters, self._place_letters(lines, frame))
        return [*legend, *frame.draw(plotted, self._axis, 0.0, high, styles)]

    def _list_notes(self) -> list[str]:
        """What a person must know to compare the curves."""
        if self._curve == "pass rate":
            books = len({event.book for run in self._runs for event in run.watched.state.pass_rates})
            return [f"not comparable: the runs have {books} books"] if books > 1 else []
        return []

    def _reduce(self, curve: Series, high: float, columns: int) -> list[ChartColumn | None]:
        return reduce_to_line(curve, self._axis, 0.0, high, columns * 2, smooth=self._curve == "loss")

    def _draw_plot(self, rasters: Sequence[Raster], letters: dict[tuple[int, int], int]) -> Iterator[Strip]:
        """Lay all curves into one plot, and the letters over them. Curves that share a cell colour it in turn."""
        blank = self.rich_style
        for row, layers in enumerate(zip(*(raster.rows() for raster in rasters), strict=True)):
            cells: list[tuple[int | None, str]] = []
            for column, dots in enumerate(zip(*layers, strict=True)):
                if (run := letters.get((row, column))) is not None:
                    cells.append((run, self._runs[run].letter))
                    continue
                present = [number for number, bits in enumerate(dots) if bits]
                merged = 0
                for bits in dots:
                    merged |= bits
                run = present[column // SHARED_CELLS % len(present)] if present else None
                cells.append((run, chr(0x2800 | merged) if merged else " "))
            spans = groupby(cells, lambda cell: cell[0])
            yield make_strip(
                *(
                    ("".join(text for _, text in span), blank if run is None else self._curve_style(run))
                    for run, span in spans
                )
            )

    def _place_letters(
        self, lines: Sequence[Sequence[ChartColumn | None]], frame: plot.Frame
    ) -> dict[tuple[int, int], int]:
        """Find a cell for each run's letter at the end of its curve, and another one on its way, apart from the others.

        The way to a free cell leads back along the curve, so that the letter stays on it.
        """
        letters: dict[tuple[int, int], int] = {}
        for run, line in enumerate(lines):
            last = max((x for x, column in enumerate(line) if column and isfinite(column.mean)), default=None)
            if last is None:
                continue
            for start in (last, last * (run + 1) // (len(lines) + 1)):
                cell = next((cell for cell in _list_cells(line, start, frame) if _is_free(cell, letters)), None)
                if cell:
                    letters[cell] = run
        return letters

    def _paint_legend(self, curves: Sequence[Series], notes: Sequence[str], width: int) -> Iterator[Strip]:
        """The runs with their letters and newest values, in one row or in columns, and a row of notes if any."""
        entries = [self._describe(run, curve, width) for run, curve in zip(self._runs, curves, strict=True)]
        lengths = [cell_len(f"{name} {value}") + LEGEND_GAP for name, value in entries]
        if sum(lengths) - LEGEND_GAP <= width:
            rows = [[*zip(range(len(entries)), entries, lengths, strict=True)]]
        else:
            per_row = max(1, min(len(entries), width // MIN_LEGEND_ENTRY))
            room = width // per_row
            short = [self._describe(run, curve, room - 2) for run, curve in zip(self._runs, curves, strict=True)]
            cells = [(number, entry, room) for number, entry in enumerate(short)]
            rows = [cells[start : start + per_row] for start in range(0, len(cells), per_row)]
        for row in rows:
            parts: list[tuple[str, Style]] = []
            for number, (name, value), room in row:
                text = f" {value}"
                blanks = " " * max(0, room - cell_len(name + text))
                parts += [(name, self._curve_style(number)), (text + blanks, self._style("label"))]
            yield make_strip(*parts)
        if notes:
            yield make_strip((", ".join(notes), self._style("label")))

    def _describe(self, run: ShownRun, curve: Series, room: int) -> tuple[str, str]:
        """The letter and the name of a run, and its newest value. A long name keeps its end, which differs most."""
        values = curve.smooth if self._curve == "loss" else curve.losses
        last = next((value for value in reversed(values) if isfinite(value)), None)
        text = figures.format_percent(last) if self._curve == "pass rate" else figures.format_loss(last)
        return f"{run.letter} {shorten_start(run.name, max(1, room - len(run.letter) - len(text) - 2))}", text

    def _paint_empty(self, width: int, height: int) -> list[Strip]:
        texts: dict[CurveName, str] = {
            "loss": "No loss was logged yet.",
            "eval loss": "No run has been evaluated yet.",
            "pass rate": "No run has a pass rate yet. It needs a profile with evaluation.book.",
        }
        text = texts[self._curve]
        return self._draw_text(text, self._style("label"), width, height)

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"runs-chart--{part}")

    def _curve_style(self, run: int) -> Style:
        return self._style(f"curve-{run % MAX_CURVES + 1}")


def _list_cells(line: Sequence[ChartColumn | None], start: int, frame: plot.Frame) -> Iterator[tuple[int, int]]:
    """Yield the cells on a curve, from the column of dots `start` to the left, those outside of the plot left out."""
    for x in range(start, -1, -1):
        column = line[x]
        if column and isfinite(column.mean) and 0 <= frame.y.place(column.mean) < frame.y.dots:
            yield frame.find_row(column.mean), x // 2


def _is_free(cell: tuple[int, int], letters: dict[tuple[int, int], int]) -> bool:
    row, column = cell
    return all(other_row != row or abs(other - column) > 1 for other_row, other in letters)
