"""Draws a row of a dataset: raw, as the model sees it, or token by token.

A colour and a sign in the gutter show the learned part, and the part that is cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from textual.content import Content

from codex_tui.base.text import clean, pluralize
from codex_tui.data.row_text import format_plain, split_special_tokens, truncate_middle
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, Part, line
from codex_tui.ui.kit.text_view import TextView
from training.contract.inspect_messages import RenderedRow, RenderedSequence, Segment

LEARNED = "underline $success"
CUT = "strike $text-muted"
SIGNS = {LEARNED: ("▌", "$success"), CUT: ("┊", "$warning")}
GUTTER = 2  # columns: the sign and a space
MAX_SHOWN_TOKENS = 4000  # in the token view of a row
MAX_TOKEN_CHARACTERS = 200


class RowView(TextView):
    """A TextView that has a gutter with signs if its text has a learned or a cut part."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._gutter = 0

    def set_text(self, paragraphs: Iterable[Content], *, keep_place: bool = False) -> None:
        new = list(paragraphs)
        gutter = GUTTER if any(_find_sign(paragraph) for paragraph in new) else 0
        if gutter != self._gutter:
            self._gutter, self._width = gutter, 0  # wraps the whole text again
        super().set_text(new, keep_place=keep_place)

    def _wrap(self, paragraph: Content) -> list[Content]:
        if not self._gutter or self._width <= GUTTER:
            return super()._wrap(paragraph)
        rows = paragraph.wrap(self._width - GUTTER) if paragraph else [paragraph]
        return [line(_find_sign(row) or " ", " ", row) for row in rows]


def _find_sign(row: Content) -> Part | None:
    styles = {span.style for span in row.spans if span.end > span.start}
    return next((sign for style, sign in SIGNS.items() if style in styles), None)


def describe_row(row: RenderedRow) -> str:
    """Writes the row's split, tokens and line number in one line."""
    parts: list[str] = [row.split]
    if row.sequences:
        parts.append(f"{figures.format_count(row.tokens)} tokens, {figures.format_count(row.learned_tokens)} learned")
    if row.line:
        parts.append(f"line {figures.format_count(row.line)}")
    return " · ".join(part for part in parts if part)


def draw_raw(values: object, used: Collection[str] | None = None) -> Iterator[Content]:
    """Draws a row as it is in the file. If `used` names the used columns, marks the others as ignored."""
    yield line(("raw", STRONG), ("   as in the file", MUTED))
    for key, value in values.items() if isinstance(values, dict) else [("", values)]:
        yield Content("")
        ignored = used is not None and key not in used
        yield line((clean(truncate_middle(str(key))), MUTED), ("   ignored" if ignored else "", "$warning"))
        yield from draw_lines(format_plain(value), MUTED if ignored else "")


def draw_model_view(row: RenderedRow, name: str = "") -> Iterator[Content]:
    """Draws the row with the chat template applied, its special tokens in a faint colour, and the cut at its place."""
    yield _draw_legend(row, name)
    for number, sequence in enumerate(row.sequences, 1):
        yield from draw_sequence_heading(row, number)
        learnable = [_draw_segment(segment) for segment in sequence.segments if not segment.cut]
        cut = [_draw_segment(segment) for segment in sequence.segments if segment.cut]
        yield from Content("").join(learnable).split("\n", allow_blank=True) if learnable else []
        if cut:
            yield _draw_cut(row, sequence)
            yield from Content("").join(cut).split("\n", allow_blank=True)


def draw_sequence_heading(row: RenderedRow, number: int) -> Iterator[Content]:
    yield Content("")
    if (count := len(row.sequences)) > 1:
        if number == 1:
            words = "The chat template changes earlier answers, so the row becomes several sequences."
            yield line((f"{words} Each answer is learned as the model gives it.", MUTED))
            yield Content("")
        yield line((f"sequence {number} of {count}", STRONG))


def _draw_legend(row: RenderedRow, name: str = "") -> Content:
    parts: list[Part] = [(f"{name}   " if name else "", STRONG), ("▌ learned", "$success"), ("   not learned", MUTED)]
    if row.truncated:
        limit = figures.format_count(row.max_seq_length)
        parts += [("   ┊ ", "$warning"), (f"cut off beyond {limit} tokens", MUTED)]
    return line(*parts)


def _draw_cut(row: RenderedRow, sequence: RenderedSequence) -> Content:
    limit = row.max_seq_length
    lost = sequence.tokens - limit
    tokens = f"{pluralize(lost, 'token')} {'is' if lost == 1 else 'are'} lost"
    loss = tokens if sequence.learned_tokens else "all of its answers are lost"
    return line((f"┄┄ cut at {limit:,}: {loss} ┄┄", "bold $warning"))


def draw_tokens(row: RenderedRow, numbered: bool) -> Iterator[Content]:
    """Draws the tokens, separated by lines. If `numbered`, draws one row per token, with its place, id and text."""
    yield _draw_legend(row)
    for number, sequence in enumerate(row.sequences, 1):
        yield from draw_sequence_heading(row, number)
        yield from _draw_sequence_tokens(row, sequence, numbered)


def _draw_sequence_tokens(row: RenderedRow, sequence: RenderedSequence, numbered: bool) -> Iterator[Content]:
    tokens, limit = sequence.ids or [], row.max_seq_length
    learned = {place for start, end in sequence.spans for place in range(start, min(end, len(tokens)))}
    shown_to = 0
    for first, last in select_tokens(len(tokens), limit):
        if first > shown_to:
            yield draw_omission(first - shown_to)
        if first == limit and first:
            yield _draw_cut(row, sequence)
        words = []
        for place in range(first, last):
            style = CUT if place >= limit else LEARNED if place in learned else ""
            words.append(_draw_token(place, tokens[place], style, numbered))
        yield from words if numbered else Content("").join(words).split("\n", allow_blank=True)
        shown_to = last
    if (more := sequence.tokens - shown_to) > 0:
        yield draw_omission(more)


def _draw_token(place: int, token: tuple[int, str], style: str, numbered: bool) -> Content:
    """Draws a token, a pair of its id and its text."""
    token_id, text = token
    word = clean(text[:MAX_TOKEN_CHARACTERS])
    if numbered:
        return line((f"{place:>7,} {token_id:>8} ", MUTED), (word or "(empty)", style))
    return line((word.replace("↵", "↵\n"), style), ("│", "$rule"))


def select_tokens(tokens: int, limit: int) -> list[tuple[int, int]]:
    """Selects the ranges of tokens to show, split at the cut.

    Selects all tokens, or, if they are too many, those at the beginning, at the end and around the cut.
    """
    near = MAX_SHOWN_TOKENS // 4
    wanted = (
        [(0, tokens)]
        if tokens <= MAX_SHOWN_TOKENS
        else [(0, near), (limit - near, limit + near), (tokens - near, tokens)]
    )
    ranges: list[tuple[int, int]] = []
    end = 0
    for first, last in wanted:
        for low, high in ((first, min(last, limit)), (max(first, limit), last)):
            low, high = max(low, end), min(high, tokens)
            if low < high:
                ranges.append((low, high))
                end = high
    return ranges


def draw_omission(tokens: int) -> Content:
    return line((f"… {tokens:,} tokens are not shown …", MUTED))


def draw_lines(text: str, style: str = "") -> Iterator[Content]:
    """Draws a text of several lines. Removes control characters, and the middle of a very long text."""
    return (line((row, style)) for row in clean(truncate_middle(text), newlines=True).split("\n"))


def _draw_segment(segment: Segment) -> Content:
    """Draws a part of the row. Special tokens that are not learned are faint."""
    style = CUT if segment.cut else LEARNED if segment.learned else ""
    text = clean(truncate_middle(segment.text), newlines=True)
    if style:
        return line((text, style))
    return line(*((piece, MUTED if special else "") for piece, special in split_special_tokens(text)))
