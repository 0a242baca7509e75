"""What all charts of curves have: an x axis and a scale that a key changes, and a text while there is no curve."""

from __future__ import annotations

from rich.style import Style
from textual.strip import Strip

from codex_tui.ui.kit import plot
from codex_tui.ui.kit.painted import Painted, make_strip
from training.history.series import Axis


class CurveChart(Painted):
    def __init__(self) -> None:
        super().__init__(id="chart")
        self._axis: Axis = "steps"
        self._scale = plot.YScale()

    def cycle_scale(self) -> None:
        """Change the scale: linear, then logarithmic, then linear with all values if that differs."""
        self._scale.cycle()
        self.repaint()

    def cycle_x_axis(self) -> None:
        """Change the x axis: steps, then time, then tokens, then steps again."""
        self._axis = plot.find_next_axis(self._axis)
        self.repaint()

    def _hint_at_scale(self) -> tuple[str, str]:
        return "g", self._scale.describe_next()

    def _hint_at_x_axis(self) -> tuple[str, str]:
        return "x", f"over {plot.find_next_axis(self._axis)}"

    def _draw_text(self, text: str, style: Style, width: int, height: int) -> list[Strip]:
        """Draw `text` in the middle of an empty chart."""
        line = make_strip((text[:width].center(width), style))
        return [Strip.blank(width, self.rich_style)] * max(0, (height - 1) // 2) + [line]
