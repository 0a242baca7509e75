"""A row of a dataset: raw, as the model sees it, or token by token. What is learned and what the cut loses is told by
colour and by a sign in the gutter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from textual.content import Content

from codex_tui.base.text import clean
from codex_tui.data.row_text import parts_of, plain, truncate_middle
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, Part, line
from codex_tui.ui.kit.text_view import TextView
from training.contract.messages import RenderedRow, Segment

LEARNED = "underline $success"
CUT = "strike $text-muted"
SIGNS = {LEARNED: ("▌", "$success"), CUT: ("┊", "$warning")}
GUTTER = 2  # columns of the sign and of the space after it
MOST_TOKENS = 4000  # of a row that are shown one by one
WIDEST_TOKEN = 200  # characters


class RowView(TextView):
    """A TextView with a gutter where its text has a learned or a lost part."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._gutter = 0

    def set_text(self, paragraphs: Iterable[Content], *, keep_place: bool = False) -> None:
        new = list(paragraphs)
        gutter = GUTTER if any(_sign(paragraph) for paragraph in new) else 0
        if gutter != self._gutter:
            self._gutter, self._width = gutter, 0  # it is all wrapped anew
        super().set_text(new, keep_place=keep_place)

    def _wrap(self, paragraph: Content) -> list[Content]:
        if not self._gutter or self._width <= GUTTER:
            return super()._wrap(paragraph)
        rows = paragraph.wrap(self._width - GUTTER) if paragraph else [paragraph]
        return [line(_sign(row) or " ", " ", row) for row in rows]


def _sign(row: Content) -> Part | None:
    styles = {span.style for span in row.spans if span.end > span.start}
    return next((sign for style, sign in SIGNS.items() if style in styles), None)


def facts(row: RenderedRow) -> str:
    """The row's split, tokens and line number, in one line."""
    parts: list[str] = [row.split]
    if row.tokens is not None:
        parts.append(f"{figures.format_count(row.tokens)} tokens, {figures.format_count(row.learned_tokens)} learned")
    if row.line:
        parts.append(f"line {figures.format_count(row.line)}")
    return " · ".join(part for part in parts if part)


def raw(values: object, used: Collection[str] | None = None) -> Iterator[Content]:
    """As the file has it; of columns, those that are not among `used` are said to be ignored."""
    yield line(("raw", STRONG), ("   as the file has it", MUTED))
    for key, value in values.items() if isinstance(values, dict) else [("", values)]:
        yield Content("")
        ignored = used is not None and key not in used
        yield line((clean(truncate_middle(str(key))), MUTED), ("   ignored" if ignored else "", "$warning"))
        yield from lines(plain(value), MUTED if ignored else "")


def as_seen(row: RenderedRow, name: str = "") -> Iterator[Content]:
    """The row under the chat template, its special tokens faint; the cut where it falls."""
    yield legend(row, name)
    yield Content("")
    kept = [_segment(segment) for segment in row.segments if not segment.cut]
    lost = [_segment(segment) for segment in row.segments if segment.cut]
    yield from Content("").join(kept).split("\n", allow_blank=True) if kept else []
    if lost:
        yield cut_line(row)
        yield from Content("").join(lost).split("\n", allow_blank=True)


def legend(row: RenderedRow, name: str = "") -> Content:
    parts: list[Part] = [(f"{name}   " if name else "", STRONG), ("▌ learned", "$success"), ("   given", MUTED)]
    if row.truncated:
        limit = figures.format_count(row.max_seq_length)
        parts += [("   ┊ ", "$warning"), (f"cut off beyond {limit} tokens", MUTED)]
    return line(*parts)


def cut_line(row: RenderedRow) -> Content:
    limit, tokens = row.max_seq_length, row.tokens or 0
    what = "the whole answer is lost" if not row.learned_tokens else f"{tokens - limit:,} tokens are lost"
    return line((f"┄┄ cut at {limit:,}: {what} ┄┄", "bold $warning"))


def one_by_one(row: RenderedRow, numbered: bool) -> Iterator[Content]:
    """The tokens with a line between each; or, `numbered`, a row each with its place, id and text."""
    tokens = row.ids or []
    start, limit = row.start or 0, row.max_seq_length
    yield legend(row)
    yield Content("")
    shown_to = 0
    for first, last in _stretches(len(tokens), limit):
        if first > shown_to:
            yield _left_out(first - shown_to)
        if first == limit and first:
            yield cut_line(row)
        words = [_token(place, tokens[place], start, limit, numbered) for place in range(first, last)]
        yield from words if numbered else Content("").join(words).split("\n", allow_blank=True)
        shown_to = last
    if (more := (row.tokens or 0) - shown_to) > 0:
        yield _left_out(more)


def _token(place: int, token: tuple[int, str], start: int, limit: int, numbered: bool) -> Content:
    """`token` is its id and its text."""
    number, text = token
    style = CUT if place >= limit else LEARNED if place >= start else ""
    word = clean(text[:WIDEST_TOKEN])
    if numbered:
        return line((f"{place:>7,} {number:>8} ", MUTED), (word or "(nothing)", style))
    return line((word.replace("↵", "↵\n"), style), ("│", "$rule"))


def _stretches(tokens: int, limit: int) -> list[tuple[int, int]]:
    """What is shown, in parts at the cut: all, or of too many the beginning, the end and what is around the cut."""
    near = MOST_TOKENS // 4
    wanted = (
        [(0, tokens)] if tokens <= MOST_TOKENS else [(0, near), (limit - near, limit + near), (tokens - near, tokens)]
    )
    found: list[tuple[int, int]] = []
    at = 0
    for first, last in wanted:
        for low, high in ((first, min(last, limit)), (max(first, limit), last)):
            low, high = max(low, at), min(high, tokens)
            if low < high:
                found.append((low, high))
                at = high
    return found


def _left_out(tokens: int) -> Content:
    return line((f"… {tokens:,} tokens are not shown …", MUTED))


def lines(text: str, style: str = "") -> Iterator[Content]:
    return (line((row, style)) for row in clean(truncate_middle(text), newlines=True).split("\n"))


def _segment(segment: Segment) -> Content:
    """What is given stays plain, its special tokens faint."""
    style = CUT if segment.cut else LEARNED if segment.learned else ""
    text = clean(truncate_middle(segment.text), newlines=True)
    if style:
        return line((text, style))
    return line(*((piece, MUTED if special else "") for piece, special in parts_of(text)))
