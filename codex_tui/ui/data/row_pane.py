"""The right part of the data screen: the selected row in one of several views, or the overview of all rows."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from codex_tui.data.view import DataView
from codex_tui.ui.data.overview import draw_overview, draw_summary
from codex_tui.ui.data.row_view import RowView
from codex_tui.ui.data.text import draw_heading, draw_limit, draw_pane
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.tabs import TabStrip

PANES = (("seen", "Model"), ("raw", "Raw"), ("tokens", "Tokens"), ("overview", "Overview"), ("xray", "X-ray"))
RUN_PANES = ("xray",)
ROW_PANES = ("seen", "raw", "tokens", "xray")
TOKEN_PANES = ("tokens", "xray")
"""The panes that need the id and the text of each token."""
MIN_WIDTH = 20


class RowPane(Vertical):
    """Shows the row, or all of them, in the pane `pane`. `numbered`: with a line for each token where there are tokens.

    `is_of_run`: the rows are those of a run.
    """

    DEFAULT_CSS = """
    RowPane { border: round $rule; border-title-color: $text-muted; width: 3fr; margin-left: 1; padding: 0 1; }
    RowPane:focus-within { border: round $primary; border-title-color: $primary; }
    RowPane TabStrip { display: block; padding: 0; margin-bottom: 1; }
    RowPane #about { margin-bottom: 1; }
    """

    def __init__(self, *, is_of_run: bool) -> None:
        super().__init__(id="right")
        self.panes = tuple((pane, name) for pane, name in PANES if is_of_run or pane not in RUN_PANES)
        self.pane = "seen"
        self.numbered = False
        self._shown: tuple[object, ...] = ()  # the pane and the row on the screen, and the state of its text

    def compose(self) -> ComposeResult:
        yield TabStrip(self.panes)
        yield Heading(id="about")
        yield RowView(id="row")

    def find_next_pane(self) -> str:
        """Find the next pane with the row. After the overview, it is the first one."""
        panes = [pane for pane, _ in self.panes if pane in ROW_PANES]
        index = panes.index(self.pane) if self.pane in panes else -1
        return panes[(index + 1) % len(panes)]

    def show(self, view: DataView) -> None:
        text, about = self.query_one(RowView), self.query_one("#about", Heading)
        self.query_one(TabStrip).show(self.pane)
        self.border_subtitle = draw_limit(view)
        if self.pane == "overview":
            self.border_title = "All rows"
            about.show(draw_summary(view.overview), Content(""))
            lines = draw_overview(view, max(MIN_WIDTH, text.content_size.width))
            text.set_text(lines, keep_place=self._shown[:1] == ("overview",))
            self._shown = ("overview",)
            return
        self.border_title = f"Row {view.rows.current + 1:,} of {view.rows.count:,}" if view.rows.count else "Row"
        about.show(draw_heading(view), Content(""))
        place = (self.pane, view.rows.current, self.numbered)
        shown = (*place, *_list_states(view))
        if shown != self._shown:  # a huge row is laid out only once
            paragraphs = draw_pane(view, self.pane, self.numbered)
            if paragraphs is not None:
                text.set_text(paragraphs, keep_place=self._shown[:3] == place)
                self._shown = shown


def _list_states(view: DataView) -> tuple[object, ...]:
    """List what the text of the row depends on, without the pane and the number of the row."""
    rows, reader = view.rows, view.reader
    of_row = (reader.row and id(reader.row), reader.error, reader.status) if reader else ()
    has_row = rows.count > rows.current
    return (id(view), rows.error, has_row, id(rows.states), id(rows.xray), rows.xray_known, view.no_tokens, *of_row)
