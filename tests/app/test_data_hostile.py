"""The data screen shows any content of a row as harmless text."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.data_screen import SIZE, app_on, screen_of, see
from support.pilot import screen_text, until
from support.screens import EVIL

from codex_tui.base.text import clean
from codex_tui.data.rows import RowPreview
from codex_tui.ui.data.row_view import draw_model_view, draw_raw, draw_tokens
from codex_tui.ui.data.text import draw_preview
from training.contract.inspect_messages import RenderedRow, RenderedSequence, Segment

# Any Unicode, control characters, markup
HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from(list("\x1b\x07\x9b\u202e[]/@=|<>"))), max_size=60
) | st.sampled_from([EVIL, "[bold red]x[/]", "[/INST]", "\x9b31m", "\u202eabc", "<|eot_id|>[/]", "\\[b]"])
CONTROLS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n"}


@given(question=HOSTILE, answer=HOSTILE, key=HOSTILE)
def test_whatever_a_row_has_is_shown_as_text(question: str, answer: str, key: str) -> None:
    sequence = RenderedSequence(
        segments=[Segment(question), Segment(answer, learned=True), Segment(key, cut=True)],
        tokens=9, spans=[(3, 6)], learned_tokens=3, ids=[(1, question), (2, answer), (3, key)],
    )  # fmt: skip
    message = RenderedRow(index=0, line=1, sequences=[sequence, sequence], max_seq_length=6)
    values = {key: question, "response": answer, "messages": [{"role": key, "content": answer}], "more": [key, 1.5]}
    shown = [
        *draw_model_view(message),
        *draw_tokens(message, False),
        *draw_tokens(message, True),
        *draw_raw(values, ["response"]),
    ]
    text = "\n".join(content.plain for content in shown)
    assert not set(text) & CONTROLS
    for part in (question, answer, key):
        for row in clean(part, newlines=True).split("\n"):
            assert row in text  # markup is neither obeyed nor swallowed
    for content in shown:
        assert all(isinstance(span.style, str) and not span.style.startswith("@") for span in content.spans)


@given(question=HOSTILE, answer=HOSTILE)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_row_has_the_screen_is_harmless(home: Path, question: str, answer: str) -> None:
    path = home / "hostile.jsonl"
    row = {"instruction": question, "response": answer}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    async with app_on(path, None).run_test(size=SIZE) as pilot:
        view = screen_of(pilot).view
        await until(pilot, lambda: view.rows.complete and "indexing" not in view.works)
        await pilot.press("2")
        await see(pilot, "1 of 1")
        assert not set(screen_text(pilot.app)) & CONTROLS
        assert view.rows.index.record(0).raw == row  # untouched


def test_a_line_of_the_list_is_one_line() -> None:
    line = draw_preview(RowPreview(row=3, signs="✗", words="a\nb\x1b[2J"), 5)
    assert line.plain == "    4 ✗   a↵b␛[2J"
