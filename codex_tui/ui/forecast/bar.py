"""The forecast bar: the parts of GPU memory that a run needs, and the card's limit. It is readable without colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content
from textual.strip import Strip

from codex_tui.base.text import clean, format_gb
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted

if TYPE_CHECKING:  # pydantic is imported after the first paint
    from codex_tui.machine.forecast import Card
    from training.memory.forecast import Forecast
    from training.memory.remedies import Remedy

# The name, the glyph and the colour of each component of a forecast.
PARTS = {
    "weights": ("weights", "█", ACCENT),
    "lora": ("LoRA", "▓", "$success"),
    "optimizer": ("optimizer", "▒", "$secondary"),
    "activations": ("activations", "░", "$warning"),
    "loss_head": ("loss head", "▚", "$secondary"),
    "context": ("CUDA context", "▤", MUTED),
}
DISPLAY = ("display", "╱", MUTED)
FREE, LIMIT, NOW = "·", "▲", "△"
VERDICTS = {
    "fits": ("✓", "fits", "bold $success"),
    "tight": ("~", "tight", "bold $warning"),
    "no": ("✗", "too big", "bold $error"),
}


class ForecastBar(Painted):
    """Five rows: the verdict, the bar, its marks, and a legend of its glyphs."""

    DEFAULT_CSS = """
    ForecastBar { height: 5; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._forecast: Forecast | None = None
        self._card: Card | None = None
        self._place = ""
        self._reason = "Estimating memory …"

    def show(self, forecast: Forecast, card: Card | None, place: str = "") -> None:
        """`place` is the other machine that trains the run; "" for this one."""
        self._forecast, self._card, self._place = forecast, card, place
        self.repaint()

    def show_reason(self, reason: str) -> None:
        """Show why there is no forecast, instead of the bar."""
        self._forecast, self._reason = None, reason
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        forecast = self._forecast
        if forecast is None:
            return to_strips(self, line((clean(self._reason), MUTED)).wrap(max(1, width)), width, height)
        rows = [
            _format_headline(forecast, self._card, self._place, width),
            *_draw_bar(forecast, self._card, width),
            *_format_legend(forecast, width),
        ]
        return to_strips(self, rows, width, height)


def format_verdict(forecast: Forecast) -> Content:
    """Format the verdict as "✓ fits"; empty if there is no card to fit on."""
    if forecast.verdict is None:
        return Content("")
    sign, word, style = VERDICTS[forecast.verdict]
    return line((f"{sign} {word}", style))


def _format_number(mib: float) -> str:
    return f"{mib / 1024:.2f}"


def summarize(forecast: Forecast, card: Card | None, place: str) -> Content:
    """One line: the needed memory, the limit, and whether the run fits, also in the memory that is free now. Without a
    card, it says with which card the forecast compares. `place` is the other machine that trains the run, whose cards
    are not known; "" for this one."""
    why = f"the cards of {clean(place.partition(',')[0])} are not known here" if place else "no GPU found"
    need = format_gb(forecast.device_mib)
    if forecast.verdict is None:
        return line("needs ", (need, STRONG), (f"; {why}", MUTED))
    limit = f" of {format_gb(forecast.limit_mib)}" if forecast.limit_mib else ""
    need = _format_number(forecast.device_mib) if limit else need
    each = (f" on each of {forecast.cards} cards", MUTED) if forecast.cards > 1 else ""
    parts = line((f"{need}{limit}", STRONG), each, ": ", format_verdict(forecast))
    if card is None and forecast.card_mib:
        return line(parts, (f" on a {forecast.card_mib / 1024:.3g} GB card; {why}{'' if place else ' here'}", MUTED))
    if forecast.verdict != "no" and card is not None and card.free_mib < forecast.device_mib:
        parts = line(parts, (f", but only {format_gb(card.free_mib)} is free now", "bold $warning"))
    return line(parts, (", measured on this card", MUTED)) if forecast.measured else parts


def list_components(forecast: Forecast) -> Iterator[tuple[str, str, str, float]]:
    """The name, glyph, colour and MiB of each component that needs memory."""
    for key, mib in forecast.components.items():
        if mib >= 0.5:
            yield (*PARTS.get(key, (key.replace("_", " "), "▪", MUTED)), mib)


def format_change(remedy: Remedy) -> str:
    """Format the new value of the field as "max_seq_length = 1024"."""
    from codex_tui.profiles.literals import format_value

    return clean(f"{remedy.field.rpartition('.')[2]} = {format_value(remedy.value)}")


def _format_headline(forecast: Forecast, card: Card | None, place: str, width: int) -> Content:
    marks = [f"{LIMIT} limit {format_gb(forecast.limit_mib)}"] if forecast.limit_mib else []
    marks += [f"{NOW} free now {_format_number(card.free_mib)} of {format_gb(card.total_mib)}"] if card else []
    return spread(summarize(forecast, card, place), line(("   ".join(marks), MUTED)), width)


def _draw_bar(forecast: Forecast, card: Card | None, width: int) -> Iterator[Content]:
    """The bar, then the row with the marks of the limit and the free memory."""
    total = forecast.card_mib or (card.total_mib if card else 0)
    parts = [*list_components(forecast)]
    shares = [(glyph, style, mib) for _, glyph, style, mib in parts]
    rest = total - forecast.device_mib - forecast.display_mib
    shares += [(FREE, MUTED, rest)] if rest > 0 else []
    shares += [(DISPLAY[1], DISPLAY[2], forecast.display_mib)] if forecast.display_mib >= 0.5 and total else []
    scale = sum(mib for _, _, mib in shares)
    cells = _divide_cells([mib for _, _, mib in shares], width)
    yield Content.assemble(*((glyph * count, style) for (glyph, style, _), count in zip(shares, cells, strict=True)))
    marks = [" "] * width
    for mark, mib in ((NOW, card.free_mib if card else None), (LIMIT, forecast.limit_mib)):
        if mib is not None and scale:
            marks[min(width - 1, round(mib / scale * width))] = mark
    yield line(("".join(marks).rstrip(), "bold $error" if forecast.verdict == "no" else ""))


def _divide_cells(values: list[float], width: int) -> list[int]:
    """Divide `width` cells in proportion to `values`. Each value gets at least one cell."""
    total = sum(values) or 1
    cells = [max(1, int(value / total * width)) for value in values]
    while sum(cells) != width and cells:
        step = 1 if sum(cells) < width else -1
        resizable = [number for number, count in enumerate(cells) if count > 1 or step > 0]
        if not resizable:
            break
        cells[max(resizable, key=lambda number: step * (values[number] / total * width - cells[number]))] += step
    return cells


def _format_legend(forecast: Forecast, width: int) -> Iterator[Content]:
    parts = [*list_components(forecast)]
    if forecast.display_mib >= 0.5:
        parts.append((*DISPLAY, forecast.display_mib))
    entries = [line((glyph, style), f" {name} ", (_format_number(mib), MUTED)) for name, glyph, style, mib in parts]
    if layers := forecast.offload_layers:
        entries.append(line((f"{layers} layers kept in host memory", MUTED)))
    row = Content("")
    for entry in entries:
        longer = line(row, "   ", entry) if row else entry
        if longer.cell_length > width:
            yield row
            longer = entry
        row = longer
    yield row
