"""Turns styled text into painted rows. Every panel draws with these helpers.

Panels write `Content`, which never reads markup. Styles are theme variables ("$primary", "bold $error"), so a new theme
needs no new code. Rows are cropped and padded to the panel. The same text gives an equal `Strip`, so `Painted` can find
the cells that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

MUTED = "$text-muted"
STRONG = "bold"
ACCENT = "$primary"

Part = str | Content | tuple[str, str]


def line(*parts: Part) -> Content:
    """Joins parts to one row of text. A part may be `(text, style)`. Text from outside must first pass `clean`."""
    return Content.assemble(*parts)


def spread(left: Content, right: Content, width: int) -> Content:
    """Puts `left` and `right` at the two ends of a row of `width` cells. Leaves out `right` if both do not fit."""
    gap = width - left.cell_length - right.cell_length
    return Content.assemble(left, " " * gap, right) if gap > 0 else left


def fit_parts(parts: Sequence[Content], width: int, gap: str = "   ") -> Content:
    """Joins the parts that fit into `width` cells. The first parts have precedence."""
    row = Content("")
    for part in parts:
        longer = Content.assemble(row, gap, part) if row else part
        if longer.cell_length <= width:
            row = longer
    return row


def find_thumb(top: int, fit: int, count: int, height: int) -> range:
    """Finds the rows of a scroll bar's thumb, on an edge of `height` rows.

    `fit` of the `count` entries are visible, the first of them is `top`. Returns no rows if all entries are visible.
    """
    if count <= fit:
        return range(0)
    size = max(1, height * fit // count)
    first = round((height - size) * top / (count - fit))
    return range(first, first + size)


def to_strips(widget: Widget, lines: Iterable[Content], width: int, height: int) -> list[Strip]:
    """Returns exactly `height` rows of exactly `width` cells, in the colours of `widget`."""
    base = widget.visual_style
    strips = [_to_strip(widget, content, base, width) for content in list(lines)[:height]]
    blank = Strip.blank(width, base.rich_style)
    return strips + [blank] * (height - len(strips))


def _to_strip(widget: Widget, content: Content, base: Style, width: int) -> Strip:
    if content.cell_length > width:
        content = content.truncate(width, ellipsis=True)
    segments = [
        Segment(text, style.rich_style)
        for text, style in content.render(base, end="", parse_style=lambda name: _parse(widget, name))
        if text
    ]
    return Strip(segments).adjust_cell_length(width, base.rich_style)


def _parse(widget: Widget, style: str | Style) -> Style:
    return style if isinstance(style, Style) else widget.app.stylesheet.parse_style(style)
