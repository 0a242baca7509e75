"""Sends the cells alone that are not what the terminal has: bytes over SSH are a budget."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.strip import Strip

from codex_tui.ui.kit.painted import changed_spans


class Shown:
    """What the terminal shows, a line each, as far as it is known.

    Textual (8.2) sends a region anew where anything in it may have changed, and each changed span from the left edge of
    its widget: a border's title costs the screen. Here what goes out is compared with what went out before.
    """

    def __init__(self) -> None:
        self._lines: dict[int, Strip] = {}

    def forget(self) -> None:
        """Another program may have drawn on the terminal, or it has another size."""
        self._lines.clear()

    def only_changes(self, update: Any) -> Any:
        if type(update) is ChopsUpdate:
            return _Parts(update, self)
        return _Whole(update, self) if type(update) is LayoutUpdate else update

    def draw(self, console: Console, y: int, x: int, new: Strip, *, whole: bool = False) -> str:
        """What puts `new` at `x` of the line `y`, the `whole` of it or a part."""
        end = x + new.cell_length
        line = self._lines.get(y)
        if line is None:
            spans = [(0, new.cell_length)]
        elif (old := line.crop(x, end)) == new:
            return ""
        else:
            spans = changed_spans(old, new)
        if whole:
            self._lines[y] = new
        elif line is not None:
            self._lines[y] = Strip.join([line.crop(0, x), new, line.crop(end)]).simplify()
        return "".join(
            Control.move_to(x + start, y).segment.text + new.crop(start, stop).render(console) for start, stop in spans
        )


class _Parts(ChopsUpdate):
    def __init__(self, update: ChopsUpdate, shown: Shown) -> None:
        super().__init__(update.chops, update.spans, update.chop_ends)
        self._shown = shown

    def render_segments(self, console: Console) -> str:
        sequences: list[str] = []
        for y, left, right in self.spans:
            for end, (start, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is not None and start < right and end > left:
                    first, last = max(start, left), min(end, right)
                    new = strip.crop(first - start, last - start).simplify()
                    sequences.append(self._shown.draw(console, y, first, new))
        return "".join(sequences)


class _Whole(LayoutUpdate):
    def __init__(self, update: LayoutUpdate, shown: Shown) -> None:
        super().__init__(update.strips, update.region)
        self._shown = shown

    def render_segments(self, console: Console) -> str:
        lines = enumerate((Strip.join(line).simplify() for line in self.strips), self.region.y)
        return "".join(self._shown.draw(console, y, self.region.x, line, whole=True) for y, line in lines)
