"""Two texts to compare: side by side in two columns, with the words marked that only one of them has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from textual.content import Content

from codex_tui.base.text import clean, format_percent
from codex_tui.ui.kit.drawing import line
from codex_tui.ui.kit.scrolling import pad

MIN_SIDE_BY_SIDE = 90  # cells; in fewer, the texts are below each other
BETWEEN = " │ "
DIFFERENT = "underline"  # the style of words that only one of the texts has; it needs no colour
MIN_MARKED_SHARE = 0.2
"""If a smaller share of the words is the same, nearly all words would be marked, so none is."""
MAX_WORDS = 2000  # of a text; a comparison of longer ones would take seconds
MAX_WORD_PAIRS = 60_000
"""Pairs of equal words. Two texts that repeat the same few words have millions, and a comparison would take minutes."""

Span = tuple[int, int]


class _Differences(NamedTuple):
    """Where the words are that only one text has. `share` is the share of all words that both have."""

    first: tuple[Span, ...]
    second: tuple[Span, ...]
    share: float


def mark_differences(one: str, other: str, *, ended: bool = True) -> tuple[tuple[Content, Content], str]:
    """Clean two answers, and mark the words that only one of them has. Also returns a sentence about how much is the
    same: "" if an answer is empty, too long or too repetitive. Nothing is marked until both have `ended`."""
    texts = clean(one, newlines=True), clean(other, newlines=True)
    contents = Content(texts[0]), Content(texts[1])
    found = _find_differences(*texts) if ended and all(text.strip() for text in texts) else None
    if found is None:
        return contents, ""
    if not found.first and not found.second:
        return contents, "The answers have the same words."
    sentence = f"{format_percent(found.share)} of the words are the same"
    if found.share < MIN_MARKED_SHARE:
        return contents, f"{sentence}."
    marked = (_underline(contents[0], found.first), _underline(contents[1], found.second))
    return marked, f"{sentence}; the others are underlined."


def lay_side_by_side(width: int, left: Sequence[Content], right: Sequence[Content]) -> Iterator[Content]:
    """Wrap two blocks of lines to columns of equal width, and join their rows."""
    column = find_column_width(width)
    return join_columns(column, *([row for text in block for row in text.wrap(column)] for block in (left, right)))


def find_column_width(width: int) -> int:
    """Return the cells of each column, where both together have `width`."""
    return (width - len(BETWEEN)) // 2


def join_columns(column: int, left: Sequence[Content], right: Sequence[Content]) -> Iterator[Content]:
    """Join the rows of two columns, each as wide as `column`."""
    for one, other in zip_longest(left, right, fillvalue=Content("")):
        yield line(pad(one, column), (BETWEEN, "$rule"), other)


def _underline(content: Content, spans: Sequence[Span]) -> Content:
    for start, end in spans:
        content = content.stylize(DIFFERENT, start, end)
    return content


@lru_cache(maxsize=64)
def _find_differences(one: str, other: str) -> _Differences | None:
    """Compare two texts word by word. Returns None if they are too long or too repetitive."""
    first, second = list(re.finditer(r"\S+", one)), list(re.finditer(r"\S+", other))
    if max(len(first), len(second)) > MAX_WORDS:
        return None
    words = [[word[0] for word in side] for side in (first, second)]
    if words[0] == words[1]:
        return _Differences((), (), 1.0)
    counts = [Counter(side) for side in words]
    if sum(count * counts[1][word] for word, count in counts[0].items()) > MAX_WORD_PAIRS:
        return None
    matcher = SequenceMatcher(None, words[0], words[1], autojunk=False)
    own: tuple[list[Span], list[Span]] = ([], [])
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind != "equal":
            for spans, side, begin, stop in ((own[0], first, start, end), (own[1], second, other_start, other_end)):
                if begin < stop:
                    spans.append((side[begin].start(), side[stop - 1].end()))
    return _Differences(tuple(own[0]), tuple(own[1]), matcher.ratio())
