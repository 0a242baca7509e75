"""A row as the model sees it: each of its sequences, the learned parts and the cut."""

from __future__ import annotations

from codex_tui.ui.data.row_view import CUT, LEARNED, draw_model_view, draw_tokens
from training.contract.inspect_messages import RenderedRow, RenderedSequence, Segment

FIRST = RenderedSequence(
    segments=[Segment("Which? "), Segment("The dock.", learned=True)],
    tokens=4, spans=[(2, 4)], learned_tokens=2, ids=[(1, "Which"), (2, "? "), (3, "The "), (4, "dock.")],
)  # fmt: skip
SECOND = RenderedSequence(
    segments=[
        Segment("Which? "), Segment("The dock.", learned=True), Segment(" And? "), Segment("No", learned=True),
        Segment("thing.", learned=True, cut=True),
    ],
    tokens=8, spans=[(2, 4), (6, 8)], learned_tokens=3,
    ids=[(1, "Which"), (2, "? "), (3, "The "), (4, "dock."), (5, " And"), (6, "? "), (7, "No"), (8, "thing.")],
)  # fmt: skip


def learned_words(row: RenderedRow, numbered: bool = True) -> list[tuple[str, str]]:
    return [
        (content.plain[span.start : span.end], str(span.style))
        for content in draw_tokens(row, numbered)
        for span in content.spans
        if span.style in (LEARNED, CUT)
    ]


def test_every_span_is_marked_and_the_cut_is_in_its_place() -> None:
    row = RenderedRow(index=0, line=1, sequences=[SECOND], max_seq_length=7)
    marked = [("The ", LEARNED), ("dock.", LEARNED), ("No", LEARNED), ("thing.", CUT)]
    assert [word for word in learned_words(row) if word[0] in dict(marked)] == marked
    text = "\n".join(content.plain for content in draw_model_view(row))
    assert "sequence" not in text
    assert text.index("No") < text.index("cut at 7: 1 token is lost") < text.index("thing.")


def test_several_sequences_are_explained() -> None:
    row = RenderedRow(index=0, line=1, sequences=[FIRST, SECOND], max_seq_length=64)
    for drawn in (draw_model_view(row), draw_tokens(row, False)):
        text = "\n".join(content.plain for content in drawn)
        assert text.count("Each answer is learned as the model gives it.") == 1
        assert text.index("sequence 1 of 2") < text.index("sequence 2 of 2")
