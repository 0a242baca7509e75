"""Tests of the four scrolling widgets: the effect of each key and of the wheel, and the visible part of each list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.content import Content
from textual.widget import Widget

from codex_tui.profiles.draft import Draft
from codex_tui.profiles.fields import list_fields
from codex_tui.ui.editor.field_list import FieldList
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.kit.row_list import RowList
from codex_tui.ui.kit.text_view import TextView

HEIGHT = 8
MARK = "▌ "


def choices() -> Choices:
    widget = Choices(lines=2)
    widget.set_rows([(f"{n}", lambda width, n=n: [Content(f"row {n}"), Content("more")]) for n in range(50)])
    return widget


def row_list() -> RowList:
    widget = RowList(lambda place: Content(f"row {place}"), lambda place: None)
    widget.show(1000, 0, [])
    return widget


def field_list() -> FieldList:
    widget = FieldList()
    widget.set_fields(list_fields(Draft(Path("mine.toml"), '[model]\nname = "x/y"\n', None)), [])
    return widget


def text_view() -> TextView:
    widget = TextView()
    widget.set_text([Content(f"row {number}") for number in range(50)])
    return widget


LISTS: dict[str, Callable[[], Painted]] = {
    "choices": choices, "row list": row_list, "field list": field_list, "text view": text_view,
}  # fmt: skip


class OneList(App[None]):
    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def find_pick(widget: Painted) -> str:
    """Returns the line of the picked row and its first words, or the first line of a text."""
    lines = [widget.render_line(y).text.rstrip(" ┃") for y in range(HEIGHT)]
    picked = next((y for y, line in enumerate(lines) if line.startswith(MARK)), None)
    return lines[0] if picked is None else f"{picked} " + " ".join(lines[picked].lstrip(MARK + "·").split()[:2])


async def wheel(app: OneList, turn: str) -> None:
    kind = events.MouseScrollDown if turn == "wheel down" else events.MouseScrollUp
    app.post_message(kind(None, 1, 1, 0, 0, 0, False, False, False, 1, 1))


PRESSED = (
    "down", "j", "k", "up", "pagedown", "ctrl+d", "space", "wheel down", "pageup", "ctrl+u", "wheel up", "end", "up",
    "home", "G",
)  # fmt: skip
EXPECTED = {  # first, and after each of the keys
    "choices": [
        "0 row 0", "2 row 1", "4 row 2", "2 row 1", "0 row 0", "6 row 10", "6 row 10", "6 row 10", "6 row 11",
        "0 row 1", "0 row 1", "0 row 0", "6 row 49", "4 row 48", "0 row 0", "6 row 49",
    ],
    "row list": [
        "0 row 0", "1 row 1", "2 row 2", "1 row 1", "0 row 0", "7 row 7", "7 row 14", "7 row 21", "7 row 24",
        "0 row 17", "0 row 10", "0 row 7", "7 row 999", "6 row 998", "0 row 0", "7 row 999",
    ],
    "field list": [
        "0 extends unset", "1 title unset", "2 description unset", "1 title unset", "0 extends unset", "5 device ‹",
        "5 device ‹", "5 device ‹", "5 vram_limit_mib unset", "4 device ‹", "4 device ‹", "2 description unset",
        "7 project unset", "6 to []", "0 extends unset", "7 project unset",
    ],
    "text view": [
        "row 0", "row 1", "row 2", "row 1", "row 0", "row 7", "row 14", "row 21", "row 24", "row 17", "row 10",
        "row 7", "row 42", "row 41", "row 0", "row 42",
    ],
}  # fmt: skip
PAGES, MORE_PAGES = {"pageup": "Page up", "pagedown": "Page down"}, {"ctrl+u": "Page up", "ctrl+d": "Page down"}
NAMES = {  # the names of the keys in the command palette
    "choices": {**PAGES, "up": "Up", "down": "Down", "home": "First", "end": "Last", "enter": "Choose"},
    "row list": {
        **PAGES, **MORE_PAGES, "up": "Row above", "down": "Row below", "home": "First row", "end": "Last row",
        "space": "Page down", "enter": "Read the row",
    },
    "field list": {
        "up": "Field above", "down": "Field below", "pageup": "Table above", "pagedown": "Table below",
        "home": "First field", "end": "Last field", "enter": "Edit the value", "space": "Next choice",
    },
    "text view": {
        **PAGES, **MORE_PAGES, "up": "Up", "down": "Down", "home": "Start", "end": "End", "space": "Page down",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
async def test_each_key_moves_the_pick_and_the_window(name: str) -> None:
    app = OneList(LISTS[name]())
    async with app.run_test(size=(50, HEIGHT)) as pilot:
        app.widget.focus()
        await pilot.pause()
        screens = [find_pick(app.widget)]
        for key in PRESSED:
            await (wheel(app, key) if key.startswith("wheel") else pilot.press(key))
            await pilot.pause()
            screens.append(find_pick(app.widget))
        assert dict(enumerate(screens)) == dict(enumerate(EXPECTED[name]))


@pytest.mark.parametrize("name", LISTS)
def test_each_key_has_its_name_in_the_command_palette(name: str) -> None:
    keys = {key: bindings[0].description for key, bindings in LISTS[name]()._bindings.key_to_bindings.items()}
    scrolling = {
        key: keys[key] for key in keys if key in (*PAGES, *MORE_PAGES, "up", "down", "home", "end", "enter", "space")
    }
    assert scrolling == NAMES[name]
    assert (keys["k"], keys["j"], keys["G"]) == (keys["up"], keys["down"], keys["end"])


async def test_a_click_picks_and_a_second_one_chooses() -> None:
    chosen: list[str] = []

    class Clicked(OneList):
        def on_choices_chosen(self) -> None:
            chosen.append("choices")

        def on_row_list_chosen(self) -> None:
            chosen.append("row list")

    for name in ("choices", "row list"):
        app = Clicked(LISTS[name]())
        async with app.run_test(size=(50, HEIGHT)) as pilot:
            await pilot.click(offset=(0, 0))  # this entry is already picked
            await pilot.click(offset=(3, 5))
            await pilot.pause()
            assert chosen.pop() == name and not chosen
            assert find_pick(app.widget) == {"choices": "4 row 2", "row list": "5 row 5"}[name]
            await pilot.click(offset=(49, 7))  # the right edge of a row list is its scroll bar
            await pilot.pause()
            assert find_pick(app.widget) == {"choices": "6 row 3", "row list": "7 row 999"}[name]
            assert not chosen


async def test_the_picked_row_is_bold_while_the_list_has_the_focus() -> None:
    for name in ("choices", "row list", "field list"):
        app = OneList(LISTS[name]())
        async with app.run_test(size=(50, HEIGHT)) as pilot:
            bold = []
            for focused in (True, False):
                app.widget.focus() if focused else app.screen.set_focus(None)
                await pilot.pause()
                bold.append(
                    any(style.bold for text, style, _ in app.widget.render_line(0) if "0" in text or "ext" in text)
                )
            assert bold == [True, False], name
