"""A scrolling text in which a person can search."""

from __future__ import annotations

import re
from collections.abc import Iterable

from textual.content import Content

from codex_tui.ui.kit.text_view import TextView

MATCH = "bold $warning"
CURRENT_MATCH = "reverse"


class SearchableText(TextView):
    """Highlights what `search` looks for. `matches` is the number of places."""

    def __init__(self, *, follows: bool = False, id: str | None = None) -> None:
        super().__init__(follows=follows, id=id)
        self.needle = ""
        self.matches = 0
        self._plain_paragraphs: list[Content] = []  # without highlights
        self._current: int | None = None  # the row of the current match

    def set_text(self, paragraphs: Iterable[Content], *, keep_place: bool = False) -> None:
        self._plain_paragraphs = list(paragraphs)
        self.matches = 0
        super().set_text(map(self._highlight, self._plain_paragraphs), keep_place=keep_place)

    def search(self, needle: str) -> None:
        """Highlights `needle`, in any case of letters, and shows its last place, which is the newest."""
        self.needle, self._current = needle, None
        self.set_text(self._plain_paragraphs, keep_place=True)
        self.find(-1)

    def find(self, step: int) -> None:
        """Shows the next row with a match if `step` is 1, the previous one if it is -1. Goes round at the ends."""
        rows = [number for number, row in enumerate(super()._list_rows()) if _has_match(row)]
        if not rows:
            self._current = None
            self.repaint()
            return
        if step > 0:
            later = (row for row in rows if self._current is not None and row > self._current)
            self._current = next(later, rows[0])
        else:
            earlier = (row for row in reversed(rows) if self._current is not None and row < self._current)
            self._current = next(earlier, rows[-1])
        self._show_rows(self._current, self._current)

    def _list_rows(self) -> list[Content]:
        rows = super()._list_rows()
        if self._current is not None and self._current < len(rows):
            row = rows[self._current]
            for span in row.spans:
                if span.style == MATCH:
                    row = row.stylize(CURRENT_MATCH, span.start, span.end)
            rows[self._current] = row
        return rows

    def _highlight(self, paragraph: Content) -> Content:
        highlighted, matches = highlight_matches(paragraph, self.needle)
        self.matches += matches
        return highlighted


def highlight_matches(text: Content, needle: str) -> tuple[Content, int]:
    """Highlight each place of `needle`, in any case of letters. Also return the number of places."""
    places = [match.span() for match in re.finditer(re.escape(needle), text.plain, re.IGNORECASE)] if needle else []
    for start, end in places:
        text = text.stylize(MATCH, start, end)
    return text, len(places)


def _has_match(row: Content) -> bool:
    return any(span.style == MATCH for span in row.spans)
