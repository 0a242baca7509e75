"""The editor of a profile: a form, the help of each field, and the memory that the run will take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from codex_tui.base.text import clean
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.fields import Field, complaint, fields_of, next_choice, problems_elsewhere
from codex_tui.profiles.literals import display_value, literal, typed
from codex_tui.profiles.toml_text import CannotEdit
from codex_tui.ui.editor.draft_files import DraftFiles
from codex_tui.ui.editor.field_help import about
from codex_tui.ui.editor.field_list import FieldList
from codex_tui.ui.editor.form import Form
from codex_tui.ui.editor.text import WHILE_TYPING, hints, title
from codex_tui.ui.forecast.ahead import here
from codex_tui.ui.forecast.bar import ForecastBar
from codex_tui.ui.kit.drawing import line
from codex_tui.ui.kit.hints import ALWAYS, TYPING, HintBar
from codex_tui.ui.kit.text_view import TextView
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.messages import ReportsWorkerErrors, Trouble

if TYPE_CHECKING:
    from codex_tui.machine.outlook import Outlook
    from codex_tui.profiles.resolve import Resolved
    from training.contract.profile import Profile

LOOK_AGAIN = 5.0  # seconds between two looks at the files and at the free memory of the card
ROOM_BESIDE = (100, 30)  # from this size on the help stands beside the form
ROOM_ON_ONE_LINE = 140  # columns from which the meaning of the bar's glyphs takes one row


class EditorScreen(ReportsWorkerErrors, Screen[str]):
    """Its result is the name of the profile."""

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
        Binding("S", "save_as", "Save under another name"),
        Binding("D", "duplicate", "Duplicate the file"),
        Binding("c", "compare", "Compare with the parent"),
        Binding("r", "remedies", "What would make it fit"),
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
        self.outlook: Outlook | None = None

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
        self.set_interval(LOOK_AGAIN, self._look_again)

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
        self.set_class(width >= ROOM_BESIDE[0] and height >= ROOM_BESIDE[1], "beside")
        self.set_class(width >= ROOM_ON_ONE_LINE, "oneline")
        if self.form.rows.field:
            self._describe()

    def show_draft(self) -> None:
        """Draws everything again: the draft may have changed."""
        resolved = self.draft.resolved
        elsewhere = [line((f"✗ {clean(problem)}", "$error")) for problem in problems_elsewhere(resolved)]
        self.form.rows.set_fields(fields_of(self.draft), [*elsewhere, Content("")] if elsewhere else [])
        name = f"Edit {clean(self.draft.path.stem)}"
        self.query_one(TitleBar).show(name, title(self.draft, self.files.conflict))
        self._describe()
        self._look_ahead(resolved)

    def _describe(self) -> None:
        roomy = self.has_class("beside")
        self.query_one("#about", TextView).set_text(about(self.picked, self.draft.resolved, roomy))
        self._hint()

    def _hint(self) -> None:
        bar = self.query_one(HintBar)
        if self.form.typing:
            bar.show(WHILE_TYPING, TYPING)
        else:
            bar.show(hints(self.picked, self.draft, bool(self.outlook and self.outlook.remedies)), ALWAYS)

    def on_field_list_moved(self) -> None:
        self._describe()

    def on_field_list_cycle(self, message: FieldList.Cycle) -> None:
        if self.picked.choices:
            self.put(literal(next_choice(self.picked, message.step)))

    def on_field_list_unset(self) -> None:
        self.put(None)

    def on_field_list_edit(self) -> None:
        if not self.picked.schema.kinds:
            self.put(literal(next_choice(self.picked, 1)))
            return
        self.form.begin(display_value(self.picked.value))
        self._hint()

    def on_input_changed(self, event: Input.Changed) -> None:
        """While a person types: what is wrong with the value, and the memory that it would need."""
        if not self.form.typing:
            return
        wrong = complaint(self.picked.schema, event.value)
        self.form.complain(wrong)
        if not wrong:
            self._look_ahead(self._as_typed(event.value))

    def _as_typed(self, text: str) -> Resolved:
        value = typed(self.picked.schema, text)
        try:
            unset = value is None and not self.picked.own
            return self.draft.resolved if unset else self.draft.resolve(self.draft.with_value(self.path, value))
        except CannotEdit:
            return self.draft.resolved

    @property
    def path(self) -> str:
        """The path of the picked field."""
        return self.picked.schema.path

    def on_form_entered(self, message: Form.Entered) -> None:
        """A wrong value is not taken: it stays in the line to be corrected, or left with Escape."""
        if complaint(self.picked.schema, message.text):
            self.app.bell()
            return
        self.form.end()
        self.put(typed(self.picked.schema, message.text))
        self.form.rows.action_move(message.then)

    def on_form_left(self) -> None:
        self.form.end()
        self._look_ahead(self.draft.resolved)
        self._hint()

    def put(self, value: str | None, path: str | None = None) -> None:
        """Sets a field, by default the picked one, to that TOML value; None unsets it."""
        try:
            self.draft.set(path or self.path, value)
        except CannotEdit as error:
            self.post_message(Trouble(f"{error}.", "Leave with Esc; E opens the file in your own editor."))
        self.show_draft()

    def action_undo(self) -> None:
        self.draft.undo()
        self.show_draft()

    def action_redo(self) -> None:
        self.draft.redo()
        self.show_draft()

    def _look_ahead(self, resolved: Resolved) -> None:
        if resolved.profile is None:
            self.outlook = None
            self.query_one(ForecastBar).say("No forecast while something is wrong with the profile.")
            self._hint()
        else:
            self._forecast(resolved.profile)

    @work(group="forecast", exclusive=True, exit_on_error=False)
    async def _forecast(self, profile: Profile) -> None:
        outlook = await asyncio.to_thread(here, profile, self.draft.path)
        if not self.is_attached:
            return
        self.outlook = outlook
        if outlook.forecast:
            self.query_one(ForecastBar).show(outlook.forecast, outlook.card)
        else:
            self.query_one(ForecastBar).say(outlook.reason)
        self._hint()

    def _look_again(self) -> None:
        if self.is_current and not self.form.typing:
            self.files.look_at_disk()
            self._look_ahead(self.draft.resolved)

    @property
    def unsaved(self) -> bool:
        return self.files.unsaved

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.run_worker(work, group="files", exclusive=True, exit_on_error=False)

    def action_save(self) -> None:
        self._run(self.files.save())

    def action_save_as(self) -> None:
        self._run(self.files.save_as())

    def action_duplicate(self) -> None:
        self._run(self.files.duplicate())

    def action_leave(self, to: str = "") -> None:
        self._run(self.files.leave(to))

    def ask_and_quit(self) -> None:
        self.run_worker(self.files.leave("quit"), group="quit", exclusive=True, exit_on_error=False)

    def on_screen_resume(self) -> None:
        self._look_again()

    def action_compare(self) -> None:
        from codex_tui.ui.editor.compare import CompareScreen

        self.app.push_screen(CompareScreen(self.draft))

    def action_remedies(self) -> None:
        self.run_worker(self._remedies(), group="remedies", exclusive=True, exit_on_error=False)

    async def _remedies(self) -> None:
        from codex_tui.ui.forecast.remedies import RemediesScreen

        profile = self.draft.resolved.profile
        outlook = await asyncio.to_thread(here, profile, self.draft.path) if profile else None  # of now, not of before
        if not outlook or not outlook.remedies:
            fits = outlook and outlook.forecast and outlook.forecast.verdict == "fits"
            self.notify("It fits: nothing has to give." if fits else "There is nothing to advise.", markup=False)
        elif chosen := await self.app.push_screen_wait(RemediesScreen(outlook)):
            self.put(literal(chosen.value), chosen.field)

    def action_find(self) -> None:
        self.run_worker(self._find(), group="find", exclusive=True, exit_on_error=False)

    async def _find(self) -> None:
        from codex_tui.ui.kit.dialogs import Ask

        names = [field.schema.path for field in fields_of(self.draft)]

        def wrong(text: str) -> str:
            return "" if any(text.strip().lower() in name for name in names) else "No field has that in its name."

        if text := await self.app.push_screen_wait(Ask("Find a field", "A part of its name", "go there", "", wrong)):
            order = [*range(self.form.rows.index + 1, len(names)), *range(self.form.rows.index + 1)]
            self.form.rows.pick(next(number for number in order if text.lower() in names[number]))
