"""A preview of the selected run: its facts, its curve, and what its files need on the disk."""

from __future__ import annotations

import asyncio
import textwrap
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.content import Content
from textual.strip import Strip
from textual.timer import Timer

from codex_tui.base.text import clean, format_duration, format_size, pluralize, shorten, shorten_start
from codex_tui.runs.healed import summarise_heals
from codex_tui.runs.pass_rates import describe_passes
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.chart import Raster, Scale
from codex_tui.ui.kit.drawing import MUTED, line, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.kit.scrolling import pad
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors
from codex_tui.ui.runs.status import format_status

if TYPE_CHECKING:
    from codex_tui.runs.summary import RunSummary

POINTS = 400
"""Points of the curve that are read. A wider curve would need a terminal of more than 400 columns."""
READ_DELAY = 0.15  # seconds that a run stays selected before its curve is read
LABEL = 9  # width of the names of the facts
PATHS = ("model", "dataset")  # the facts that may be paths: what is cut is the beginning
MIN_FACTS_WIDTH, MAX_FACTS_WIDTH = 54, 76
MIN_CURVE_WIDTH, MAX_CURVE_HEIGHT = 24, 20
GAP = 3  # cells between the facts and the curve


class Details(NamedTuple):
    """What is read for the selected run alone. `losses` is the smoothed curve, None where nothing was logged."""

    losses: tuple[float | None, ...] = ()
    last_step: int = 0
    checkpoints: int = 0
    checkpoint_bytes: int = 0
    adapter_bytes: int = 0


def read_details(run: RunSummary) -> Details:
    """Read the curve from a sample of the events, and the sizes of the folders. Takes milliseconds."""
    from math import isfinite

    from codex_tui.runs.follower import read_sample
    from codex_tui.runs.summary import measure_folder
    from training.contract.checkpoints import list_checkpoints
    from training.contract.run_directory import RunDirectory

    directory = RunDirectory(run.path)
    losses = read_sample(directory).losses
    last = losses.steps[-1] if losses.steps else 0
    columns = losses.downsample("steps", 0.0, float(max(1, last)), POINTS) if last else []
    return Details(
        tuple(column.smooth if column and isfinite(column.smooth) else None for column in columns),
        last,
        len(list_checkpoints(directory.checkpoints)),
        measure_folder(directory.checkpoints),
        measure_folder(directory.adapter),
    )


def explain_end(run: RunSummary) -> Content:
    """Why the run ended, and what the user can do about it."""
    rows = [Content(clean(run.reason)), line((clean(run.remedy), MUTED))]
    if run.healed:
        rows.append(Content(clean(summarise_heals(run.healed))))
    return Content("\n").join([*([Content(run.note)] if run.note else []), *rows])


class Preview(ReportsWorkerErrors, Painted):
    DEFAULT_CSS = """
    Preview { height: 1fr; display: none; border: round $rule; border-title-color: $text-muted; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="preview")
        self._run: RunSummary | None = None
        self._details: Details | None = None
        self._timer: Timer | None = None

    def show(self, run: RunSummary | None) -> None:
        """Show `run`, and read its details after a while. Those of the same run stay until newer ones are read."""
        if run is None or self._run is None or run.directory != self._run.directory:
            self._details = None
        self._run = run
        self.border_title = clean(run.name) if run else ""
        self.repaint()
        if self._timer:
            self._timer.stop()
        if run and self.display:
            self._timer = self.set_timer(READ_DELAY, partial(self._read, run))

    def _read(self, run: RunSummary) -> None:
        start_worker(self, partial(self._fill, run), exclusive=True)

    async def _fill(self, run: RunSummary) -> None:
        details = await asyncio.to_thread(read_details, run)
        if self._run and self._run.directory == run.directory:
            self._details = details
            self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if self._run is None:
            return to_strips(self, [], width, height)
        rows = draw_end(self._run, width)
        below = height - len(rows)
        left = min(MAX_FACTS_WIDTH, max(MIN_FACTS_WIDTH, width // 2))
        room = width - left - GAP
        if room < MIN_CURVE_WIDTH:
            left, room = width, 0
        facts = draw_facts(self._run, self._details, left)
        curve = _draw_curve(self._details, room, below) if room else []
        rows += [
            line(pad(facts[y] if y < len(facts) else Content(""), width - room), curve[y] if y < len(curve) else "")
            for y in range(below)
        ]
        return to_strips(self, rows, width, height)


def draw_end(run: RunSummary, width: int) -> list[Content]:
    """How the run ended, what can be done about it, and its last judgement: a line for each, over the whole width."""
    rows = [line((f"{'state':<{LABEL}}", MUTED), format_status(run.status))]
    for text, style in ((run.reason, ""), (run.remedy, MUTED), (summarise_heals(run.healed), "")):
        rows += [line((row, style)) for row in textwrap.wrap(clean(text), max(20, width))]
    for judgement in run.judgements[:1]:
        text = clean(judgement.summary)
        rows.append(line((f"{'judged':<{LABEL}}", MUTED), text).truncate(width, ellipsis=True))
    return rows


def draw_facts(run: RunSummary, details: Details | None, width: int) -> list[Content]:
    best = "" if run.best_eval_loss is None else (
        f", best eval {figures.format_loss(run.best_eval_loss)} at step {run.best_eval_step:,}"
    )  # fmt: skip
    steps = f"{run.step:,} of {run.total_steps:,}" if run.total_steps else f"{run.step:,}"
    sizes = format_size(run.disk_bytes)
    if details:
        parts = []
        if details.checkpoints:
            parts = [f"{pluralize(details.checkpoints, 'checkpoint')} {format_size(details.checkpoint_bytes)}"]
        if run.has_adapter:
            parts.append(f"adapter {format_size(details.adapter_bytes)}")
        sizes += f": {', '.join(parts)}" if parts else ""
    facts = (
        ("note", run.note),
        ("model", run.model),
        ("dataset", run.dataset),
        ("profile", run.profile_name),
        ("on", clean(run.place)),
        ("steps", f"{steps} in {format_duration(run.seconds)}"),
        ("loss", f"{figures.format_loss(run.loss)}{best}"),
        ("passes", describe_passes(run.pass_rate) if run.pass_rate else ""),
        ("disk", sizes),
    )
    rows: list[Content] = []
    for name, value in facts:
        if value:
            cut = shorten_start if name in PATHS else shorten
            fact = line((f"{name:<{LABEL}}", MUTED), cut(value, max(1, width - LABEL)))
            rows.append(fact.truncate(width, ellipsis=True))  # a wide character needs two cells
    return rows


def _draw_curve(details: Details | None, width: int, height: int) -> list[Content]:
    if details is None:
        return [line(("reading the curve …", MUTED))]
    finite = [value for value in details.losses if value is not None]
    if not finite:
        return [line(("No loss was logged yet.", MUTED))]
    low, high = min(finite), max(finite)
    labels = [figures.format_loss(high), figures.format_loss(low)]
    margin = max(map(len, labels)) + 1
    columns, rows = width - margin - 1, min(MAX_CURVE_HEIGHT, height - 1)
    if columns < 8 or rows < 2:
        return []
    raster, scale = Raster(columns, rows), Scale(low, high, 4 * rows)
    before: tuple[int, int] | None = None
    for index, value in enumerate(details.losses):
        if value is not None:
            point = index * columns * 2 // len(details.losses), scale.to_dot(value)
            raster.draw_line(*(before or point), *point)
            before = point
    drawn = ["".join(chr(0x2800 | dots) if dots else " " for dots in row) for row in raster.rows()]
    sides = [labels[0], *[""] * (rows - 2), labels[1]]
    curve = [
        line((f"{side:>{margin}}", MUTED), ("┤" if side else "│", "$rule"), (row, "$primary"))
        for side, row in zip(sides, drawn, strict=True)
    ]
    return [*curve, line((f"{'loss':>{margin}} 0{f'step {details.last_step:,}':>{max(1, columns - 1)}}", MUTED))]
