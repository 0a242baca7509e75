"""Tests of painted widgets: they send only the cells that changed."""

from __future__ import annotations

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip

from codex_tui.ui.kit.painted import Painted, changed_spans

RED, BLUE = Style(color="red"), Style(color="blue")


def text(*parts: tuple[str, Style]) -> Strip:
    return Strip([Segment(words, style) for words, style in parts])


@pytest.mark.parametrize(
    ("old", "new", "spans"),
    [
        ("step 10 of 99", "step 11 of 99", [(6, 7)]),
        ("aaaaaaaaaaaaaaaaaaaa", "baaaaaaaaaaaaaaaaaab", [(0, 1), (19, 20)]),
        ("aaaaaaaaaa", "baaabaaaaa", [(0, 5)]),  # close to each other: one span
        ("日本", "日曜", [(2, 4)]),  # both halves of a wide character
        ("ab", "abc", [(2, 3)]),
        ("é" + "x", "e\u0301x", [(0, 1)]),
        ("same", "same", []),
    ],
)
def test_spans_cover_the_changed_cells(old: str, new: str, spans: list[tuple[int, int]]) -> None:
    assert changed_spans(text((old, RED)), text((new, RED))) == spans


def test_a_change_of_style_is_a_change() -> None:
    assert changed_spans(text(("abc", RED)), text(("a", RED), ("b", BLUE), ("c", RED))) == [(1, 2)]
    assert changed_spans(text(("abc", RED)), text(("ab", RED), ("c", RED))) == []


class Words(Painted):
    lines: list[str] = []
    refreshed: list[tuple[Region, ...]] = []

    def paint(self, width: int, height: int) -> list[Strip]:
        return [text((line, RED)) for line in self.lines]

    def refresh(self, *regions: Region, **how: bool) -> Words:  # type: ignore[override]
        self.refreshed.append(regions)
        return super().refresh(*regions, **how)


async def test_a_repaint_refreshes_only_the_changed_spans_and_shows_them() -> None:
    class Host(App[None]):
        CSS = "Words { width: 20; height: 3; border: solid red; padding: 0 1; }"

        def compose(self) -> ComposeResult:
            words = Words()
            words.lines, words.refreshed = ["loss 1.25", "日本語"], []
            yield words

    app = Host()
    async with app.run_test(size=(40, 10)) as pilot:
        words = app.query_one(Words)
        await pilot.pause()
        words.refreshed.clear()
        words.repaint()
        assert words.refreshed == []
        words.lines = ["loss 1.24", "日本語"]
        words.repaint()
        assert words.refreshed == [(Region(8, 0, 1, 1),)]
        assert words.render_line(0).text == "loss 1.24".ljust(words.content_size.width)
        words.styles.width = 8  # too narrow: cut, and painted for the new size
        await pilot.pause()
        assert words.render_line(0).text == "loss"
