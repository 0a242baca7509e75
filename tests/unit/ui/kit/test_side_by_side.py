"""Two answers side by side: columns of equal width, and the words that only one answer has."""

from __future__ import annotations

import time

from textual.content import Content

from codex_tui.ui.kit.side_by_side import DIFFERENT, MAX_WORDS, lay_side_by_side, mark_differences


def marked(content: Content) -> list[str]:
    return [content.plain[span.start : span.end] for span in content.spans if span.style == DIFFERENT]


def test_words_that_only_one_answer_has_are_marked() -> None:
    (one, other), told = mark_differences(
        "Upgrade the shotgun first, then\nthe grenade drum.", "Upgrade the rifle first, then the drum."
    )
    assert marked(one) == ["shotgun", "grenade"]
    assert marked(other) == ["rifle"]
    assert one.plain == "Upgrade the shotgun first, then\nthe grenade drum."
    assert told == "80 % of the words are the same; the others are underlined."


def test_answers_that_share_almost_nothing_are_not_marked() -> None:
    (one, other), told = mark_differences("The shotgun, always.", "I am a model and cannot say.")
    assert not marked(one) and not marked(other)
    assert told == "0 % of the words are the same."


def test_equal_answers_say_so() -> None:
    assert mark_differences("The dock. ", "The\ndock.")[1] == "The answers have the same words."


def test_nothing_is_marked_until_both_have_ended() -> None:
    for one, other, ended in (("a b", "a c", False), ("a b", "", False), ("", "a", True)):
        contents, told = mark_differences(one, other, ended=ended)
        assert told == "" and not any(map(marked, contents))


def test_control_characters_are_harmless() -> None:
    (one, _), _ = mark_differences("a \x1b[2J b c d", "a b c d")
    assert "\x1b" not in one.plain and marked(one) == ["␛[2J"]


def test_very_long_answers_are_not_compared() -> None:
    words = " ".join(f"word{number}" for number in range(MAX_WORDS))
    began = time.process_time()
    contents, told = mark_differences(f"{words} one more", words)
    assert told == "" and not any(map(marked, contents))
    assert mark_differences(words, words)[1] == "The answers have the same words."
    assert time.process_time() - began < 5


def test_answers_that_repeat_the_same_words_are_not_compared() -> None:
    began = time.process_time()
    for count in (100, 200, 400, MAX_WORDS // 2):  # a base model repeats itself up to the length limit
        one, other = " ".join(["go", "on"] * count), " ".join(["go", "up"] * count)
        contents, told = mark_differences(one, other)
        assert (told == "") == (count >= 400)
        assert any(map(marked, contents)) == (count < 400)
        assert mark_differences(f"{one} ", one)[1] == "The answers have the same words."
    assert time.process_time() - began < 5


def test_columns_have_equal_widths_and_wide_characters_count_twice() -> None:
    rows = [*lay_side_by_side(23, [Content("one two three four")], [Content("质量好坏 five"), Content("six")])]
    assert [row.plain.rstrip() for row in rows] == ["one two    │ 质量好坏", "three four │ five", "           │ six"]
    assert {row.plain.index("│") for row in rows} == {11}
