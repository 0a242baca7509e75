"""The dialog that asks with which questions a run is judged, and against what."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.judge.plan import HELD_OUT
from codex_tui.ui.judge.work import Request
from codex_tui.ui.kit.dialogs import DIALOG_CSS, format_keys
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.suggesting_input import SuggestingInput, Suggestions
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors
from training.contract.judgement import BASE
from training.contract.run_directory import RunDirectory
from training.dataset.source import DEMO_BOOK

MAX_RUNS = 200


class BookInput(SuggestingInput):
    """Suggests the names of the books that need no file, and JSONL files."""

    def suggest(self, text: str) -> list[str]:
        from codex_tui.data.suggest import complete_path

        names = [name for name in (HELD_OUT, DEMO_BOOK) if text.lower() in name]
        return [*names, *(name for name in complete_path(text) if name.endswith(("/", ".jsonl")))]


class AgainstInput(SuggestingInput):
    """Suggests base and the other runs."""

    def __init__(self, value: str, suggestions: Suggestions, run: RunDirectory) -> None:
        super().__init__(value, suggestions, "base, or the name of another run", id="against")
        self._run = run

    def suggest(self, text: str) -> list[str]:
        from codex_tui.runs.library import list_names

        names = [BASE, *(name for name in list_names() if name != self._run.name)]
        return [name for name in names if text.lower() in name.lower()][:MAX_RUNS]


class JudgeDialog(ReportsWorkerErrors, ModalScreen[Request | None]):
    """Checks the answer, and returns it. Begins with `before`, the last answer."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="JudgeDialog")
        + """
    JudgeDialog > Vertical { width: 84; }
    JudgeDialog LineInput { margin-bottom: 1; }
    JudgeDialog .label { margin-bottom: 0; color: $text-muted; }
    JudgeDialog LineInput:focus { background-tint: $primary 20%; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, run: RunDirectory, before: Request) -> None:
        super().__init__()
        self._run, self._before = run, before
        self._is_checking = False

    def compose(self) -> ComposeResult:
        books, runs = Suggestions("books"), Suggestions("runs")
        with Vertical():
            yield Static(line((f"Judge {clean(self._run.name)}", "bold")))
            yield Static("Questions: held-out, or a book (a JSONL file)", classes="label", markup=False)
            yield BookInput(clean(self._before.book), books, "a path, or held-out", id="book")
            yield books
            yield Static("Against", classes="label", markup=False)
            yield AgainstInput(clean(self._before.against), runs, self._run)
            yield runs
            text = "Loads the base model once. Answers are kept as they come: a judgement that is stopped goes on."
            yield Static(line((text, MUTED)))
            yield Static(id="status", markup=False)
            yield Static(id="keys", classes="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one("#status").display = False
        self._show_keys()

    def on_suggesting_input_suggested(self) -> None:
        self._show_keys()

    def _show_keys(self) -> None:
        if any(field.is_suggesting for field in self.query(SuggestingInput)):
            keys = [("↓ ↑", "choose"), ("Tab", "complete"), ("Enter", "take"), ("Esc", "cancel")]
        else:
            keys = [("Enter", "judge"), ("Tab", "next field"), ("Esc", "cancel")]
        self.query_one("#keys", Static).update(format_keys(*keys))

    def on_input_submitted(self) -> None:
        if not self._is_checking:
            self._is_checking = True
            self._show_status(line(("Checking …", MUTED)))
            start_worker(self, self._check)

    async def _check(self) -> None:
        default = Request.make_default(self._run)
        book = self.query_one(BookInput).value.strip() or default.book
        request = Request(book, self.query_one(AgainstInput).value.strip() or default.against)
        try:
            await asyncio.to_thread(request.make_plan, self._run)
        except CodexError as error:
            hint = f"\n{clean(error.hint, newlines=True)}" if error.hint else ""
            self._show_status(line((f"✗ {clean(error.message, newlines=True)}", "bold $error"), hint))
        else:
            if self.is_current:  # else the person has left the dialog
                self.dismiss(request)
        finally:
            self._is_checking = False

    def _show_status(self, text: Content) -> None:
        if self.is_attached:
            status = self.query_one("#status", Static)
            status.display = True
            status.update(text)
