"""The list of changes that reduce a run's memory, the best first. Enter applies one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from codex_tui.base.text import clean, format_gb, shorten
from codex_tui.ui.forecast.bar import format_change, summarize
from codex_tui.ui.kit.choices import Choices, DrawEntry
from codex_tui.ui.kit.dialogs import DIALOG_CSS, make_key_row
from codex_tui.ui.kit.drawing import MUTED, STRONG, line, spread

if TYPE_CHECKING:
    from codex_tui.machine.forecast import ResourceForecast
    from training.memory.remedies import Remedy


class RemediesScreen(ModalScreen["Remedy | None"]):
    """Returns the chosen remedy, None if the user cancels."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="RemediesScreen")
        + """
    RemediesScreen > Vertical { width: 90; height: auto; }
    RemediesScreen Choices { height: 12; max-height: 60vh; margin-bottom: 1; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,r", "dismiss(None)", "Close")]

    def __init__(self, forecast: ResourceForecast) -> None:
        super().__init__()
        self._forecast = forecast

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line(("Any one of these reduces the memory:", STRONG)))
            if self._forecast.memory:
                yield Static(summarize(self._forecast.memory, self._forecast.card, self._forecast.place))
            yield Choices(lines=2)
            yield make_key_row(("Enter", "apply"), ("↑ ↓", "choose"), ("Esc", "cancel"))

    def on_mount(self) -> None:
        choices = self.query_one(Choices)
        choices.set_rows([(f"{number}", _make_row(remedy)) for number, remedy in enumerate(self._forecast.remedies)])
        choices.styles.height = 2 * len(self._forecast.remedies)
        choices.focus()

    def on_choices_moved(self, message: Choices.Moved) -> None:
        message.stop()

    def on_choices_chosen(self, message: Choices.Chosen) -> None:
        message.stop()
        index = self.query_one(Choices).index
        self.dismiss(self._forecast.remedies[index] if index is not None else None)


def _make_row(remedy: Remedy) -> DrawEntry:
    def row(width: int) -> list[Content]:
        frees = line(("frees ", MUTED), format_gb(remedy.frees_mib))
        enough = line(("✓ enough by itself", "$success"), "; " if remedy.price else "") if remedy.fits else Content("")
        name = shorten(format_change(remedy), width - frees.cell_length - 2)
        return [
            spread(line((name, STRONG)), frees, width),
            line(enough, (clean(remedy.price), MUTED)),
        ]

    return row
