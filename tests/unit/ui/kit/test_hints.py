"""Which key a click on a hint presses."""

from __future__ import annotations

import pytest

from codex_tui.ui.kit.hints import find_key


@pytest.mark.parametrize(
    ("shown", "column", "key"),
    [
        ("q", 0, "q"), ("q", 3, "q"), ("?", 0, "question_mark"), ("/", 2, "slash"), ("Esc", 1, "escape"),
        ("← →", 0, "left"), ("← →", 2, "right"), ("← →", 9, "right"), ("[ ]", 0, "left_square_bracket"),
        ("1-5", 0, "1"), ("1-5", 2, "5"), ("1-5", 6, "5"), ("ctrl+o", 2, "ctrl+o"), ("D", 0, "D"),
        ("Bksp", 0, "backspace"), ("↑ ↓", 5, "down"),
    ],
)  # fmt: skip
def test_a_click_presses_the_key_below_it(shown: str, column: int, key: str) -> None:
    assert find_key(shown, column) == key
