"""The data screen's line to type into: a search, a row's number, a length."""

from __future__ import annotations

from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from codex_tui.data.view import DataView
from codex_tui.ui.data.row_view import RowView
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.row_list import RowList

ASKS = {"search": "Search: ", "go": "Go to row: ", "limit": "max_seq_length, to look at: "}


class Asking(Screen[None]):
    """For the data screen: `asking` is what is typed now, "" where nothing is."""

    view: DataView
    asking = ""

    @property
    def reading(self) -> bool:
        raise NotImplementedError

    def show_line(self) -> None:
        raise NotImplementedError

    def action_ask(self, what: str) -> None:
        """A line to type into, at the bottom: what is found is seen while one types."""
        if what == "limit" and not self.view.target.profile:
            return
        self.asking = what
        typed = self.query_one(Input)
        self.query_one("#ask").display = True
        asked = self.query_one("#asked", Heading)
        asked.styles.width = len(ASKS[what])
        asked.show(line((ASKS[what], MUTED)), Content(""))
        typed.value = self.view.needle if what == "search" else ""
        typed.cursor_position = len(typed.value)
        typed.focus()
        self.show_line()

    def answered(self) -> None:
        self.asking = ""
        self.query_one("#ask").display = False
        self.query_one(RowView if self.reading else RowList).focus()
        self.show_line()

    def on_input_changed(self, event: Input.Changed) -> None:
        if self.asking == "search" and event.value != self.view.needle:
            self.view.search(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        what, text = self.asking, event.value.strip().replace(",", "")
        if what != "search" and not text.isdecimal():
            self.app.bell()
            return
        self.answered()
        if what == "go":
            row = int(text[:12]) - 1
            if self.view.places and row not in self.view.places:
                self.view.search("")
                self.view.filter("all")
            await self.view.stand_on(row)
        elif what == "limit":
            await self.view.set_limit(int(text[:7]))
