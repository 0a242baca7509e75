"""The editor of a profile: a form, the help for each field, and a forecast of the memory that the run needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from codex_tui.base.text import clean
from codex_tui.base.toml import format_literal
from codex_tui.base.toml_text import CannotEdit
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.fields import (
    Field,
    explain_invalid_input,
    find_next_choice,
    find_other_problems,
    list_fields,
    resolve_input,
)
from codex_tui.profiles.literals import parse_input
from codex_tui.ui.editor.draft_files import DraftFiles
from codex_tui.ui.editor.draft_forecast import DraftForecast
from codex_tui.ui.editor.field_help import describe_field
from codex_tui.ui.editor.field_list import FieldList
from codex_tui.ui.editor.form import Form
from codex_tui.ui.editor.questions import ask_field, ask_length, ask_remedy
from codex_tui.ui.editor.text import WHILE_TYPING, draw_title, list_hints
from codex_tui.ui.forecast.bar import ForecastBar
from codex_tui.ui.kit.drawing import line
from codex_tui.ui.kit.hints import ALWAYS, TYPING, HintBar
from codex_tui.ui.kit.text_view import TextView
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors, Trouble

if TYPE_CHECKING:
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.ui.lengths.screen import Changes

CHECK_SECONDS = 5.0  # between two checks of the files and of the GPU's free memory
MIN_SIZE_BESIDE = (100, 30)  # columns and rows; a smaller terminal shows the help below the form
MIN_WIDTH_ONE_LINE = 140  # columns that the legend of the forecast bar needs to fit into one row


class EditorScreen(ReportsWorkerErrors, Screen[str]):
    """Edits `draft`. Returns the name of the profile when it closes."""

    DEFAULT_CSS = """
    EditorScreen #about { height: 6; border-top: solid $rule; padding: 0 1; }
    EditorScreen #about:focus, EditorScreen ForecastBar:focus { border-top: solid $primary; }
    EditorScreen Horizontal { layout: vertical; height: 1fr; }
    EditorScreen ForecastBar { height: 6; border-top: solid $rule; padding: 0 1; }
    EditorScreen.beside Horizontal { layout: horizontal; }
    EditorScreen.beside Form, EditorScreen.beside #about, EditorScreen.beside ForecastBar {
        border: round $rule; border-title-color: $text-muted;
    }
    EditorScreen.beside Form:focus-within, EditorScreen.beside #about:focus {
        border: round $primary; border-title-color: $primary;
    }
    EditorScreen.beside Form { width: 3fr; }
    EditorScreen.beside #about { width: 2fr; height: 1fr; margin-left: 1; }
    EditorScreen.beside ForecastBar { height: 7; }
    EditorScreen.beside.oneline ForecastBar { height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "undo", "Undo"),
        Binding("U,ctrl+r", "redo", "Redo"),
        Binding("s,ctrl+s", "save", "Save"),
        Binding("n,ctrl+n", "launch", "Save and launch"),
        Binding("S", "save_as", "Save under another name"),
        Binding("D", "duplicate", "Duplicate the file"),
        Binding("c", "compare", "Compare with the parent"),
        Binding("r", "remedies", "Ways to make it fit"),
        Binding("m", "lengths", "Compare every max_seq_length"),
        Binding("slash", "find", "Find a field"),
        Binding("escape", "leave", "Back", show=False),
        Binding("p", "leave('profiles')", "Profiles", show=False),
        Binding("o", "leave('runs')", "Runs", show=False),
        Binding("q", "leave('quit')", "Quit", show=False),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self.files = DraftFiles(self, draft, self.show_draft)
        self._forecast = DraftForecast(self, draft, self._update_hints)

    def compose(self) -> ComposeResult:
        yield TitleBar("Edit", "")
        with Horizontal():
            yield Form(id="form")
            yield TextView(id="about")
        yield ForecastBar(id="memory")
        yield HintBar()

    def on_mount(self) -> None:
        self._arrange()
        self.query_one("#form").border_title = "Profile"
        self.query_one("#about").border_title = "The field"
        self.query_one("#memory").border_title = "Memory"
        self.form.rows.focus()
        self.show_draft()
        self.set_interval(CHECK_SECONDS, self._check_for_changes)

    @property
    def forecast(self) -> ResourceForecast | None:
        return self._forecast.forecast

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    @property
    def picked(self) -> Field:
        field = self.form.rows.field
        assert field is not None  # a profile has fields
        return field

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        width, height = self.app.size
        self.set_class(width >= MIN_SIZE_BESIDE[0] and height >= MIN_SIZE_BESIDE[1], "beside")
        self.set_class(width >= MIN_WIDTH_ONE_LINE, "oneline")
        if self.form.rows.field:
            self._update_help()

    def show_draft(self) -> None:
        """Redraws everything."""
        resolved = self.draft.resolved
        elsewhere = [line((f"✗ {clean(problem)}", "$error")) for problem in find_other_problems(resolved)]
        self.form.rows.set_fields(list_fields(self.draft), [*elsewhere, Content("")] if elsewhere else [])
        state = draw_title(self.draft, self.files.conflict)
        self.query_one(TitleBar).show(f"Edit {clean(self.draft.path.stem)}", state)
        self._update_help()
        self._forecast.update(resolved)

    def _update_help(self) -> None:
        help_lines = describe_field(self.picked, self.draft.resolved, roomy=self.has_class("beside"))
        self.query_one("#about", TextView).set_text(help_lines)
        self._update_hints()

    def _update_hints(self) -> None:
        bar = self.query_one(HintBar)
        if self.form.typing:
            bar.show(WHILE_TYPING, TYPING)
        else:
            bar.show(list_hints(self.picked, self.draft, self._forecast.has_remedies), ALWAYS)

    def on_field_list_moved(self) -> None:
        self._update_help()

    def on_field_list_cycle(self, message: FieldList.Cycle) -> None:
        if self.picked.choices:
            self.set_field(format_literal(find_next_choice(self.picked, message.step)))

    def on_field_list_unset(self) -> None:
        self.set_field(None)

    def on_hints_changed(self) -> None:
        self._update_hints()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Checks the value while a person types, and forecasts the memory that it would need."""
        if not self.form.typing:
            return
        problem = explain_invalid_input(self.picked.schema, event.value)
        self.form.show_complaint(problem)
        if not problem:
            self._forecast.update(resolve_input(self.draft, self.picked, event.value))

    def on_form_entered(self, message: Form.Entered) -> None:
        if self._accept(message.text):
            self.form.rows.action_move(message.move)

    def _accept(self, text: str) -> bool:
        """Sets the picked field to the typed text. A wrong value is refused and stays in the text line until a person
        corrects or cancels it. Returns whether the value was accepted."""
        if explain_invalid_input(self.picked.schema, text):
            self.app.bell()
            return False
        self.form.close_line()
        self.set_field(parse_input(self.picked.schema, text))
        return True

    def _accept_typed(self) -> bool:
        """Sets the picked field if the text line is open. Returns False if the typed value is wrong."""
        return not self.form.typing or self._accept(self.form.typed)

    def on_form_cancelled(self) -> None:
        self.form.close_line()
        self._forecast.update(self.draft.resolved)
        self._update_hints()

    def set_field(self, value: str | None, path: str | None = None) -> None:
        """Sets the field at `path`, by default the picked one, to a TOML value. None removes it from the file."""
        try:
            self.draft.set(path or self.picked.schema.path, value)
        except CannotEdit as error:
            self.post_message(Trouble(f"{error}.", "Press Esc to leave, then E to open the file in your own editor."))
        self.show_draft()

    def action_undo(self) -> None:
        self.draft.undo()
        self.show_draft()

    def action_redo(self) -> None:
        self.draft.redo()
        self.show_draft()

    def _check_for_changes(self) -> None:
        if self.is_current and not self.form.typing:
            self.files.check_disk()
            self._forecast.update(self.draft.resolved)

    @property
    def unsaved(self) -> bool:
        return self.files.unsaved

    @property
    def reason_to_stay(self) -> str:
        return "The profile has unsaved changes. Save it (s) or leave it (Esc) first." if self.unsaved else ""

    def _run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        start_worker(self, work, group="files", exclusive=True)

    def action_save(self) -> None:
        if self._accept_typed():
            self._run(self.files.save)

    def action_launch(self) -> None:
        """Saves the draft and opens the launch dialog with it."""
        if self._accept_typed():
            self._run(self._launch)

    async def _launch(self) -> None:
        from codex_tui.ui.launch.dialog import LaunchDialog

        if entry := await self.files.save_for_launch():
            self.app.push_screen(LaunchDialog(entry))

    def action_save_as(self) -> None:
        self._run(self.files.save_as)

    def action_duplicate(self) -> None:
        self._run(self.files.duplicate)

    def action_leave(self, to: str = "") -> None:
        self._run(partial(self.files.leave, to))

    def ask_and_quit(self) -> None:
        start_worker(self, partial(self.files.leave, "quit"), group="quit", exclusive=True)

    def on_screen_resume(self) -> None:
        self._check_for_changes()

    def action_compare(self) -> None:
        from codex_tui.ui.editor.compare import CompareScreen

        self.app.push_screen(CompareScreen(self.draft))

    def action_remedies(self) -> None:
        start_worker(self, partial(self._change, ask_remedy), group="remedies", exclusive=True)

    def action_lengths(self) -> None:
        start_worker(self, partial(self._change, ask_length), group="lengths", exclusive=True)

    async def _change(self, ask: Callable[[Screen[Any], Draft], Awaitable[Changes | None]]) -> None:
        """Sets the fields that `ask` returns."""
        for path, value in (await ask(self, self.draft) or {}).items():
            self.set_field(format_literal(value), path)

    def show_field(self, path: str) -> None:
        """Goes to the field with the dotted name `path`."""
        names = [field.schema.path for field in list_fields(self.draft)]
        if path in names and self._accept_typed():
            self.form.rows.pick(names.index(path))

    def action_find(self) -> None:
        start_worker(self, self._find, group="find", exclusive=True)

    async def _find(self) -> None:
        names = [field.schema.path for field in list_fields(self.draft)]
        if (number := await ask_field(self, names, self.form.rows.index)) is not None:
            self.form.rows.pick(number)
