"""No byte of a stranger's text may command the terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tui.base.text import (
    MAX_COMBINING,
    clean,
    format_duration,
    format_duration_range,
    pluralize,
    shorten,
    shorten_start,
)

anything = st.text(st.characters(), max_size=200)  # surrogates, controls and marks included


@given(anything, st.booleans())
def test_nothing_a_terminal_obeys_is_left(text: str, newlines: bool) -> None:
    shown = clean(text, newlines=newlines)
    categories = {unicodedata.category(character) for character in shown if character != "\n"}
    assert not categories & {"Cc", "Cs"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    assert newlines or "\n" not in shown
    shown.encode("utf-8")


@given(anything, st.integers(0, 200))
def test_a_sequence_split_over_two_pieces_is_as_harmless(text: str, cut: int) -> None:
    assert "\x1b" not in clean(text[:cut]) + clean(text[cut:])


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;owned\x07", "␛]0;owned␇"),
        ("\x9b2J", "\ufffd2J"),
        ("a\rb\tc\nd", "ab    c↵d"),
        ("admin\u202etxt.exe", "admin\ufffdtxt.exe"),
        ("\ud800", "\ufffd"),
        ("ta\u07b7\u0378\ufffe", "ta\ufffd\ufffd\ufffd"),  # not in Unicode: terminals draw no cell for them
        ("a pink heart \U0001fa77", "a pink heart \U0001fa77"),  # of Unicode 15
        ("[/INST] [@click=app.quit]x[/]", "[/INST] [@click=app.quit]x[/]"),
    ],
)
def test_known_tricks_are_shown_for_what_they_are(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


def test_a_storm_of_marks_is_cut() -> None:
    assert len(clean("e" + "\u0301" * 5000)) == 1 + MAX_COMBINING


def test_lengths_and_durations() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abc", 4) == "abc"
    assert [shorten_start("abcdef", width) for width in (6, 4, 1, 0)] == ["abcdef", "…def", "…", "…"]
    assert [pluralize(n, "row") for n in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]
    assert [format_duration(s) for s in (None, 0, 75, 4000)] == ["–", "0:00", "1:15", "1:06:40"]
    ranges = [(75, 75), (0.4, 0.9), (22, 45), (55, 130), (900, 1900), (5900, 9400), (40_000, 70_000), (5000, 5050)]
    assert [format_duration_range(*ends) for ends in ranges] == [
        "1:15", "0.4–0.9 s", "22–45 s", "0.9–2.2 min", "15–32 min", "1.6–2.6 h", "11–19 h", "1.4 h"
    ]  # fmt: skip
