"""Sends a changed span alone: bytes over SSH are a budget."""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


class SpanUpdate(ChopsUpdate):
    """Textual (8.2) writes each changed span from the left edge of its widget, ten times the bytes for a digit in a
    long row. This writes it from where it begins."""

    @classmethod
    def of(cls, update: ChopsUpdate) -> SpanUpdate:
        return cls(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        sequences: list[str] = []
        for y, left, right in self.spans:
            for end, (start, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or start >= right or end <= left:
                    continue
                first, last = max(start, left), min(end, right)
                sequences.append(Control.move_to(first, y).segment.text)
                sequences.append(strip.crop(first - start, last - start).render(console))
        return "".join(sequences)
