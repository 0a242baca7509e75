"""The memory that a fine-tune will take, part by part, against what the card has: a bar that reads without colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content
from textual.strip import Strip

from codex_tui.base.text import clean
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted

if TYPE_CHECKING:  # pydantic is read after the first paint
    from codex_tui.machine.forecast import Card
    from training.memory.forecast import Forecast, Remedy

# Each component, the card's own share last: its name, the glyph of its cells, its colour.
PARTS = {
    "weights": ("weights", "█", ACCENT),
    "lora": ("LoRA", "▓", "$success"),
    "optimizer": ("optimiser", "▒", "$secondary"),
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
    """Five rows: the verdict, the bar, its marks, and what its glyphs mean."""

    DEFAULT_CSS = """
    ForecastBar { height: 5; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._forecast: Forecast | None = None
        self._card: Card | None = None
        self._words = "Looking ahead …"

    def show(self, forecast: Forecast, card: Card | None) -> None:
        self._forecast, self._card = forecast, card
        self.repaint()

    def say(self, words: str) -> None:
        """In place of a bar: why there is none."""
        self._forecast, self._words = None, words
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        forecast = self._forecast
        if forecast is None:
            return to_strips(self, line((clean(self._words), MUTED)).wrap(max(1, width)), width, height)
        rows = [_headline(forecast, self._card, width), *_bar(forecast, self._card, width), *_legend(forecast, width)]
        return to_strips(self, rows, width, height)


def verdict(forecast: Forecast) -> Content:
    """`✓ fits`."""
    if forecast.verdict is None:
        return Content("")
    sign, word, style = VERDICTS[forecast.verdict]
    return line((f"{sign} {word}", style))


def figure(forecast: Forecast) -> str:
    """`3,701 of 3,796 MiB`."""
    limit = f" of {forecast.limit_mib:,.0f}" if forecast.limit_mib else ""
    return f"{forecast.device_mib:,.0f}{limit} MiB"


def summary(forecast: Forecast, card: Card | None) -> Content:
    """One line: how much of how much, and whether that fits, here and now."""
    if forecast.verdict is None:
        return line("takes ", (figure(forecast), STRONG), ("; no card here to compare with", MUTED))
    parts = line((figure(forecast), STRONG), ": ", verdict(forecast))
    if forecast.verdict != "no" and card is not None and card.free_mib < forecast.device_mib:
        parts = line(parts, (f", but only {card.free_mib:,.0f} MiB are free now", "bold $warning"))
    return line(parts, (", as measured on this card", MUTED)) if forecast.measured else parts


def components(forecast: Forecast) -> Iterator[tuple[str, str, str, float]]:
    """Each part that takes something: its name, glyph, colour and MiB."""
    for key, mib in forecast.components.items():
        if mib >= 0.5:
            yield (*PARTS.get(key, (key.replace("_", " "), "▪", MUTED)), mib)


def change(remedy: Remedy) -> str:
    """`max_seq_length = 1024`."""
    from codex_tui.profiles.literals import format_value

    return clean(f"{remedy.field.rpartition('.')[2]} = {format_value(remedy.value)}")


def _headline(forecast: Forecast, card: Card | None, width: int) -> Content:
    marks = [f"{LIMIT} limit {forecast.limit_mib:,.0f}"] if forecast.limit_mib else []
    marks += [f"{NOW} free now {card.free_mib:,.0f} of {card.total_mib:,.0f}"] if card else []
    left = summary(forecast, card)
    return spread(left, line(("   ".join(marks), MUTED)), width)


def _bar(forecast: Forecast, card: Card | None, width: int) -> Iterator[Content]:
    """The bar, and the row of marks below it."""
    total = forecast.card_mib or (card.total_mib if card else 0)
    parts = [*components(forecast)]
    shares = [(glyph, style, mib) for _, glyph, style, mib in parts]
    rest = total - forecast.device_mib - forecast.display_mib
    shares += [(FREE, MUTED, rest)] if rest > 0 else []
    shares += [(DISPLAY[1], DISPLAY[2], forecast.display_mib)] if forecast.display_mib >= 0.5 and total else []
    scale = sum(mib for _, _, mib in shares)
    cells = _cells([mib for _, _, mib in shares], width)
    yield Content.assemble(*((glyph * count, style) for (glyph, style, _), count in zip(shares, cells, strict=True)))
    marks = [" "] * width
    for mark, mib in ((NOW, card.free_mib if card else None), (LIMIT, forecast.limit_mib)):
        if mib is not None and scale:
            marks[min(width - 1, round(mib / scale * width))] = mark
    yield line(("".join(marks).rstrip(), "bold $error" if forecast.verdict == "no" else ""))


def _cells(values: list[float], width: int) -> list[int]:
    """`width` cells shared out by `values`; whatever is there gets one at least."""
    total = sum(values) or 1
    cells = [max(1, int(value / total * width)) for value in values]
    while sum(cells) != width and cells:
        step = 1 if sum(cells) < width else -1
        able = [number for number, count in enumerate(cells) if count > 1 or step > 0]
        if not able:
            break
        cells[max(able, key=lambda number: step * (values[number] / total * width - cells[number]))] += step
    return cells


def _legend(forecast: Forecast, width: int) -> Iterator[Content]:
    parts = [*components(forecast)]
    if forecast.display_mib >= 0.5:
        parts.append((*DISPLAY, forecast.display_mib))
    entries = [line((glyph, style), f" {name} ", (f"{mib:,.0f}", MUTED)) for name, glyph, style, mib in parts]
    if layers := forecast.offload_layers:
        entries.append(line((f"{layers} layers wait in host memory", MUTED)))
    row = Content("")
    for entry in entries:
        longer = line(row, "   ", entry) if row else entry
        if longer.cell_length > width:
            yield row
            longer = entry
        row = longer
    yield row
