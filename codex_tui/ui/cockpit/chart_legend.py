"""The first row of the chart: the signs with their meaning, and the last values or those at the cursor."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from rich.style import Style
from textual.strip import Strip

from codex_tui.base.text import clean, format_duration
from codex_tui.runs.healed import describe_briefly
from codex_tui.runs.pass_rates import describe_passes
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.painted import make_strip
from training.contract import events as ev
from training.history.series import Axis, Series

RAW, SMOOTH, CURSOR, HEALED = "⠒", "━", "│", "✚"
Part = tuple[str, str, str]  # a sign, the name of its style, and a text
SMOOTHED = ("loss", "gradient norm", "tokens/s")
"""The curves whose values jump so much that a smoothed curve is drawn too."""


@dataclass(frozen=True)
class CurveShown:
    """The curve that the chart shows. Its values are in `series.losses`. `evals` and `last` belong to the losses,
    `pass_rates` to the pass rate, and `healed` to every curve."""

    name: str
    series: Series
    evals: Sequence[ev.Eval] = ()
    last: ev.Metrics | None = None
    pass_rates: Sequence[ev.PassRate] = ()
    healed: Sequence[ev.Healed] = ()

    @property
    def smooth(self) -> bool:
        return self.name in SMOOTHED

    @property
    def marks(self) -> list[tuple[int, float]]:
        """The evaluations, which have signs of their own: their steps and values."""
        rates = [(event.step, 100 * event.rate) for event in self.pass_rates]
        return rates or [(event.step, event.eval_loss) for event in self.evals if event.eval_loss is not None]

    @property
    def best(self) -> tuple[int, float] | None:
        """The first evaluation with the lowest loss or the highest pass rate. None if the newest one is as good."""
        values = [value for _, value in self.marks]
        if not values:
            return None
        best = max(values) if self.pass_rates else min(values)
        return None if values[-1] == best else self.marks[values.index(best)]


def describe_values(shown: CurveShown, eval_sign: str, best_sign: str) -> list[Part]:
    """The newest values of the curve."""
    parts: list[Part] = []
    losses, smooth = shown.series.losses, shown.series.smooth
    if shown.last:
        text = "NaN/inf" if shown.last.loss is None else f"{shown.last.loss:.4f}"
        parts.append((RAW, "raw", f" loss {text}"))
    elif losses and shown.name != "loss":
        sign, style = (RAW, "raw") if shown.smooth else (SMOOTH, "smooth")
        parts.append((sign, style, f" {shown.name} {format_value(shown.name, losses[-1])}"))
    if shown.smooth and smooth and isfinite(smooth[-1]):
        parts.append((SMOOTH, "smooth", f" smoothed {format_value(shown.name, smooth[-1])}"))
    if shown.evals and (eval_loss := shown.evals[-1].eval_loss) is not None:
        parts.append((eval_sign, "eval", f" eval {eval_loss:.4f}"))
    if shown.pass_rates:
        parts.append(("", "label", describe_passes(shown.pass_rates[-1])))
    if best := shown.best:
        parts.append((best_sign, "eval", f" best {format_value(shown.name, best[1])} at {best[0]:,}"))
    if shown.healed:
        parts.append((HEALED, "eval", f" healed at {shown.healed[-1].failed_step:,}"))
    return parts


def describe_cursor(shown: CurveShown, step: int, axis: Axis, eval_sign: str) -> list[Part]:
    """The values at `step`, and the last evaluation up to it."""
    series = shown.series
    index = bisect_right(series.steps, step) - 1
    if index < 0:
        return [(CURSOR, "cursor", f" step {step:,}: no value")]
    at = {
        "steps": "",
        "time": f" ({format_duration(series.times[index])})",
        "tokens": f" ({series.tokens[index]:,} tokens)",
    }[axis]
    value, level = series.losses[index], series.smooth[index]
    text = format_value(shown.name, value) if isfinite(value) else "NaN/inf"
    parts: list[Part] = [(CURSOR, "cursor", f" step {series.steps[index]:,}{at}  {shown.name} {text}")]
    heals = [event for event in shown.healed if event.failed_step == step]
    parts += [(HEALED, "eval", f" healed {clean(describe_briefly(event))}") for event in heals]
    if shown.smooth and isfinite(level):
        parts.append((SMOOTH, "smooth", f" smoothed {format_value(shown.name, level)}"))
    earlier = [event for event in shown.evals if event.step <= step and event.eval_loss is not None]
    if earlier:
        parts.append((eval_sign, "eval", f" eval {earlier[-1].eval_loss:.4f} at {earlier[-1].step:,}"))
    return parts


def format_value(name: str, value: float) -> str:
    """Format a value of the curve `name` with its unit."""
    match name:
        case "learning rate":
            return figures.format_rate(value)
        case "tokens/s":
            return figures.format_count(value)
        case "VRAM":
            return f"{figures.format_gib(value)} GiB"
        case "pass rate":
            return figures.format_percent(value)
        case "temperature":
            return f"{value:.0f} °C"
    return f"{value:.4f}"


def fit_legend(parts: Sequence[Part], notes: Sequence[str], width: int, style: Callable[[str], Style]) -> Strip:
    """Join the parts that fit into `width`. The notes about the scale come last, but the first part and they have
    precedence: without them the curve would be misread."""
    entries: list[Part] = [*parts[:1], *(("", "label", note) for note in notes), *parts[1:]]
    room = width
    kept: list[Part] = []
    for sign, name, text in entries:
        room -= len(sign) + len(text) + 2
        if room + 2 < 0:
            break
        kept.append((sign, name, text))
    kept.sort(key=lambda part: part[1] == "label")
    segments: list[tuple[str, Style]] = []
    for sign, name, text in kept:
        segments += [(sign, style(name)), (text + "  ", style("label"))]
    return make_strip(*segments)
