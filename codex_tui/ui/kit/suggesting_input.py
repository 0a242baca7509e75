"""A field that suggests values in a list below it, and completes what a person types."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from codex_tui.base.text import clean, shorten_start
from codex_tui.ui.kit.drawing import MUTED, line, to_strips
from codex_tui.ui.kit.line_input import LineInput
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.kit.scrolling import MARK, highlight
from codex_tui.ui.kit.worker import start_worker

MAX_ROWS = 6  # suggestions that are shown at one time


class Suggestions(Painted):
    """The list below the field. It covers what is below, and it never has the focus."""

    DEFAULT_CSS = """
    Suggestions {
        overlay: screen; display: none; offset: 0 -1; height: 1; width: 100%;
        background: $panel; border-left: outer $primary;
    }
    """

    def __init__(self, id: str = "suggestions") -> None:
        super().__init__(id=id)
        self._names: Sequence[str] = ()
        self._index: int | None = None

    def show(self, names: Sequence[str], index: int | None) -> None:
        """Shows `names` and marks the one with the number `index`. Hides the list if there are none."""
        self._names, self._index = names, index
        self.display = bool(names)
        self.styles.height = min(len(names), MAX_ROWS)
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        top = max(0, (self._index or 0) - height + 1)
        shown = self._names[top : top + height]
        hidden = len(self._names) - len(shown)
        rows = []
        for number, name in enumerate(shown, top):
            is_last = number == top + len(shown) - 1
            note = f"   {hidden} more" if hidden and is_last else ""
            text = line(shorten_start(name, max(1, width - 4 - len(note))), (note, MUTED))
            chosen = number == self._index
            rows.append(highlight(line((MARK, "$primary"), text), width, True) if chosen else line("  ", text))
        return to_strips(self, rows, width, height)


class SuggestingInput(LineInput):
    """Down and Up choose a suggestion, Enter takes it, Tab completes the typed text as far as it is unambiguous.

    Subclasses override `suggest`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "choose(1)", "Next suggestion", show=False),
        Binding("up", "choose(-1)", "Previous suggestion", show=False),
        Binding("tab", "complete", "Complete the path", show=False),
    ]

    class Suggested(Message):
        """Says that the list has appeared, changed or gone."""

    def __init__(self, value: str, suggestions: Suggestions, placeholder: str, id: str) -> None:
        super().__init__(value, id=id, placeholder=placeholder, select_on_focus=True)
        self._suggestions = suggestions
        self._names: list[str] = []  # the suggestions for what a person has typed
        self._typed = value
        self._index: int | None = None  # the number of the chosen suggestion
        self._open = False

    def on_mount(self) -> None:
        self._suggest_for(self.value)

    def on_blur(self) -> None:
        self._close()

    def on_input_changed(self) -> None:
        """Suggests anew after a person has typed. The message goes on to the dialog."""
        if self.value == self._typed or (self._index is not None and self.value == self._names[self._index]):
            return
        self._typed, self._open = self.value, True
        self._suggest_for(self.value)

    def suggest(self, text: str) -> list[str]:
        """List what a person who has typed `text` may mean. Called in a thread."""
        raise NotImplementedError

    def _suggest_for(self, text: str) -> None:
        start_worker(self, partial(self._suggest, text), group="suggest", exclusive=True)

    async def _suggest(self, text: str) -> None:
        names = await asyncio.to_thread(self.suggest, text)
        if self.is_attached and text == self._typed:
            # The field would send the control characters of a name to the terminal.
            self._names = [name for name in names if name != text and clean(name) == name]
            self._index = None
            self._show()

    @property
    def is_suggesting(self) -> bool:
        """Whether the list is on the screen."""
        return bool(self._open and self._names and self.has_focus)

    def _show(self) -> None:
        self._suggestions.show(self._names if self.is_suggesting else (), self._index)
        self.post_message(self.Suggested())

    def _close(self) -> None:
        """Hides the list. A chosen suggestion counts as typed from now on."""
        if self._index is not None:
            self._typed = self.value
            self._suggest_for(self.value)
        self._open, self._index = False, None
        self._show()

    def _set_value(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)

    def action_choose(self, step: int) -> None:
        """Puts the next or the previous suggestion into the field. Without suggestions, moves to another field."""
        if not self._names or (step < 0 and self._index is None):
            (self.screen.focus_next if step > 0 else self.screen.focus_previous)()
            return
        number = (-1 if self._index is None else self._index) + step
        self._open = True
        self._index = min(number, len(self._names) - 1) if number >= 0 else None
        self._set_value(self._typed if self._index is None else self._names[self._index])
        self._show()

    def action_complete(self) -> None:
        """Completes the typed text. If there is nothing to complete, moves to the next field."""
        from codex_tui.data.suggest import complete_common

        text = complete_common(self.value, self._names) if self._open and self._index is None else self.value
        if text != self.value:
            self._set_value(text)
        else:
            self.screen.focus_next()

    async def action_submit(self) -> None:
        """Takes the chosen suggestion. Without one, submits the field."""
        if self._index is not None:
            self._close()
        else:
            await super().action_submit()
