"""Draws what the adapter of a run made of a row: each learned token in the colour of its probability."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from textual.content import Content

from codex_tui.base.text import clean, pluralize
from codex_tui.data.view import DataView
from codex_tui.data.xray import TokenLoss, Xray
from codex_tui.ui.data.row_view import CUT, MAX_TOKEN_CHARACTERS, draw_omission, draw_sequence_heading, select_tokens
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, Part, line
from training.contract.inspect_messages import RenderedRow, RenderedSequence

HEADINGS = line((f"{'place':>7} {'base':>6} → {'adapter':<7} {'likely':>7}  token", MUTED))
MAX_LISTED = 8
LISTED_BELOW = 0.5


class Level(NamedTuple):
    """Tokens with a probability of at least `least`. Each level has attributes of its own: not all see colours."""

    least: float
    name: str
    colour: str
    attributes: str = ""

    @property
    def style(self) -> str:
        return f"{self.attributes} {self.colour}".strip()


LEVELS = (
    Level(0.9, "≥ 90 %", "$success"),
    Level(0.5, "≥ 50 %", "$primary", "italic"),
    Level(0.1, "≥ 10 %", "$warning", "underline"),
    Level(0.01, "≥ 1 %", "$error", "bold underline"),
    Level(0.0, "< 1 %", "$error", "bold reverse"),
)


def find_level(probability: float) -> Level:
    return next(level for level in LEVELS if probability >= level.least)


def draw_losses(base: float, adapter: float) -> Content:
    """Draw the losses per token of base and adapter. The adapter's has the colour of its typical probability."""
    colour = find_level(TokenLoss(0, base, adapter).probability).colour
    return line((f"{base:5.2f} → ", MUTED), (f"{adapter:5.2f}", colour))


def draw_xray(view: DataView, row: RenderedRow, numbered: bool) -> Iterator[Content]:
    """Draw the row's tokens with the legend, or say why their losses are not known. `numbered`: only the learned
    tokens, each with its losses."""
    xray, profile = view.rows.xray, view.target.profile
    if xray is None:
        yield from explain_unmeasured(view)
        return
    yield from _draw_measurement(view, xray)
    losses = xray.read_tokens(row.index, row, profile) if profile and xray.has_tokens else None
    if losses is None:
        yield Content("")
        yield from _explain_missing_losses(view, xray, row)
        return
    yield _draw_legend()
    for number, sequence in enumerate(row.sequences, 1):
        yield from draw_sequence_heading(row, number)
        yield from _draw_sequence(sequence, losses[number - 1], row.max_seq_length, numbered)
        if not numbered:
            yield from _draw_least_likely(sequence, losses[number - 1])


def explain_unmeasured(view: DataView) -> Iterator[Content]:
    """Say that the rows were not measured, what a measurement shows, and how to begin one."""
    if not view.rows.xray_known:
        yield line(("Reading what was measured …", MUTED))
        return
    yield line(("The rows of this run have not been measured.", STRONG))
    yield Content("")
    words = (
        "A measurement finds the loss of each learned token, under the base model and under the adapter. Rows with a "
        "wrong answer are learned last, so they come first in the list."
    )
    yield line((words, MUTED))
    yield Content("")
    yield from _offer(view, "measures all rows")


def describe_measurement(xray: Xray) -> str:
    """Describe what was measured, and when."""
    step = "the adapter" if xray.header.step is None else f"the checkpoint of step {xray.header.step:,}"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(0, min(xray.header.created, 4e9))))
    return f"{pluralize(len(xray.worst), 'row')} measured with {step}, {when}"


def list_changes(xray: Xray) -> list[str]:
    """List in sentences what has changed since the measurement, and what is missing of it."""
    texts = []
    if not xray.complete and (missing := xray.total - len(xray.worst)) > 0:
        texts.append(f"The measurement was stopped: {pluralize(missing, 'row')} of {xray.total:,} are not measured.")
    if xray.adapter_changed:
        texts.append("The run has another adapter now.")
    if xray.data_changed:
        texts.append("The dataset has changed since: losses may stand beside other rows than those measured.")
    return texts


def _draw_measurement(view: DataView, xray: Xray) -> Iterator[Content]:
    yield line((describe_measurement(xray), MUTED))
    changes = list_changes(xray)
    yield from (line(("! ", "bold $warning"), (text, "$warning")) for text in changes)
    if changes and not xray.data_changed:
        yield from _offer(view, "measures again" if xray.adapter_changed else "measures the rest")


def _offer(view: DataView, words: str) -> Iterator[Content]:
    """Say which key measures, and which command does the same."""
    yield line(("x", f"bold {ACCENT}"), (f" {words}, or:", MUTED))
    if run := view.target.run:
        yield line((f"codex-tui judge {clean(shlex.quote(run.name))} --rows", ACCENT))


def _explain_missing_losses(view: DataView, xray: Xray, row: RenderedRow) -> Iterator[Content]:
    if xray.find_losses(row.index) is None:
        words = "Not measured: this row was neither learned nor held out."
        if not xray.complete:
            words = "This row was not measured, because the measurement was stopped before."
        yield line((words, STRONG))
    elif not xray.has_tokens:
        yield line(("The tokens were not measured: an older version measured each row as a whole.", STRONG))
        yield from _offer(view, "measures all tokens")
    else:
        yield line(("This row has other tokens now than when it was measured.", STRONG))


def _draw_legend() -> Content:
    parts: list[Part] = [("probability under the adapter  ", MUTED)]
    for level in LEVELS:
        parts += [(level.name, level.style), "  "]
    return line(*parts)


def _draw_sequence(
    sequence: RenderedSequence, losses: Sequence[TokenLoss], limit: int, numbered: bool
) -> Iterator[Content]:
    tokens, by_place = sequence.ids or [], {loss.place: loss for loss in losses}
    if numbered:
        yield HEADINGS
        yield from (_draw_numbered(tokens[loss.place][1], loss) for loss in losses if loss.place < len(tokens))
        return
    shown_to = 0
    for first, last in select_tokens(len(tokens), limit):
        if first > shown_to:
            yield draw_omission(first - shown_to)
        places = range(first, last)
        words = [_draw_token(tokens[place][1], by_place.get(place), cut=place >= limit) for place in places]
        yield from Content("").join(words).split("\n", allow_blank=True)
        shown_to = last
    if (more := sequence.tokens - shown_to) > 0:
        yield draw_omission(more)


def _draw_token(text: str, loss: TokenLoss | None, *, cut: bool) -> Content:
    style = find_level(loss.probability).style if loss else CUT if cut else MUTED
    word = clean(text[:MAX_TOKEN_CHARACTERS], newlines=loss is None)
    return line((word.replace("↵", "↵\n") if loss else word, style))


def _draw_numbered(text: str, loss: TokenLoss) -> Content:
    word = clean(text[:MAX_TOKEN_CHARACTERS]) or "(empty)"
    figures = f"{loss.place:>7,} {loss.base:>6.2f} → {loss.adapter:<7.2f} {format_probability(loss.probability):>7}  "
    return line((figures, MUTED), (word, find_level(loss.probability).style))


def _draw_least_likely(sequence: RenderedSequence, losses: Sequence[TokenLoss]) -> Iterator[Content]:
    """List the tokens that the adapter expects least, with their losses."""
    tokens = sequence.ids or []
    unlikely = [loss for loss in losses if loss.probability < LISTED_BELOW and loss.place < len(tokens)]
    if not unlikely:
        return
    listed = sorted(unlikely, key=lambda loss: -loss.adapter)[:MAX_LISTED]
    rest = len(unlikely) - len(listed)
    yield Content("")
    more = f", the worst {len(listed)} of {len(unlikely)}; i lists all" if rest else ""
    yield line(("Below 50 %", STRONG), (more, MUTED))
    yield HEADINGS
    yield from (_draw_numbered(tokens[loss.place][1], loss) for loss in listed)


def format_probability(probability: float) -> str:
    percent = 100 * probability
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"
