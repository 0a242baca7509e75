"""Sends only the cells that differ from the terminal's content, to save bytes over SSH."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.strip import Strip

from codex_tui.ui.kit.painted import changed_spans


class TerminalCells:
    """Remembers the lines that the terminal shows, and removes unchanged cells from each update.

    Textual (8.2) sends a whole region if anything in it may have changed, and sends each changed span from the left
    edge of its widget. A new border title would cost the whole screen.
    """

    def __init__(self) -> None:
        self._lines: dict[int, Strip] = {}

    def forget(self) -> None:
        """Forgets all lines. Call this if another program may have drawn on the terminal, or if its size changed."""
        self._lines.clear()

    def keep_only_changes(self, update: Any) -> Any:
        """Wraps an update of Textual so that it writes only changed cells. Returns other objects unchanged."""
        if type(update) is ChopsUpdate:
            return _ChangedChops(update, self)
        return _ChangedLayout(update, self) if type(update) is LayoutUpdate else update

    def draw(self, console: Console, y: int, x: int, new: Strip, *, whole: bool = False) -> str:
        """Returns the terminal sequences that draw `new` at column `x` of line `y`.

        `whole` says that `new` is the whole line, not a part of it.
        """
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


class _ChangedChops(ChopsUpdate):
    def __init__(self, update: ChopsUpdate, terminal: TerminalCells) -> None:
        super().__init__(update.chops, update.spans, update.chop_ends)
        self._terminal = terminal

    def render_segments(self, console: Console) -> str:
        sequences: list[str] = []
        for y, left, right in self.spans:
            for end, (start, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is not None and start < right and end > left:
                    first, last = max(start, left), min(end, right)
                    new = strip.crop(first - start, last - start).simplify()
                    sequences.append(self._terminal.draw(console, y, first, new))
        return "".join(sequences)


class _ChangedLayout(LayoutUpdate):
    def __init__(self, update: LayoutUpdate, terminal: TerminalCells) -> None:
        super().__init__(update.strips, update.region)
        self._terminal = terminal

    def render_segments(self, console: Console) -> str:
        lines = enumerate((Strip.join(line).simplify() for line in self.strips), self.region.y)
        return "".join(self._terminal.draw(console, y, self.region.x, line, whole=True) for y, line in lines)
