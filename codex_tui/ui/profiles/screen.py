"""The profile picker: all profiles, with their purpose, their problems, and whether they fit on this card."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.kit.text_view import TextView
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors, Trouble

if TYPE_CHECKING:  # pydantic is imported after the first paint
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.profiles.library import ProfileEntry

HINTS = (
    ("Enter", "launch"),
    ("e", "edit"),
    ("d", "data"),
    ("D", "duplicate"),
    ("o", "runs"),
    ("↑ ↓", "choose"),
    ("Tab", "details"),
    ("E", "edit in $EDITOR"),
)


class ProfilesScreen(ReportsWorkerErrors, Screen[None]):
    """Lists the profiles; starts, edits, duplicates and shows the data of the selected one."""

    DEFAULT_CSS = """
    ProfilesScreen > Horizontal > * { border: round $rule; border-title-color: $text-muted; padding: 0 1; }
    ProfilesScreen > Horizontal > *:focus { border: round $primary; border-title-color: $primary; }
    #profiles { width: 2fr; min-width: 30; max-width: 60; padding: 0; }
    #profile { width: 3fr; margin-left: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "launch", "Launch"),
        Binding("e", "edit", "Edit"),
        Binding("E", "edit_outside", "Edit in $EDITOR"),
        Binding("d", "data", "Show its dataset"),
        Binding("D", "duplicate", "Duplicate"),
        Binding("ctrl+r", "reload", "Refresh the list of profiles"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[ProfileEntry] = []
        self._forecasts: dict[Path, ResourceForecast] = {}
        self.forecasts_ready = False
        self._typed_dataset = ""  # for the rows of a profile that names none
        self._outdated = False  # whether the profiles may have changed since the list was made

    def compose(self) -> ComposeResult:
        yield TitleBar("Profiles", "Choose a profile. Enter starts training.")
        with Horizontal():
            yield Choices(id="profiles", lines=3)
            yield TextView(id="profile")
        yield HintBar(HINTS)

    def on_mount(self) -> None:
        self.query_one("#profiles").border_title = "Profiles"
        self.query_one("#profile").border_title = "What it does"
        self.call_after_refresh(self.action_reload)

    async def action_reload(self, select: str | None = None) -> None:
        """Read the profiles in a thread and select the one called `select`, else keep the selection.

        Until the new forecasts are made, the earlier ones are shown.
        """
        self._outdated = False
        self._entries = await asyncio.to_thread(_read_profiles)
        self.forecasts_ready = False
        if self.is_attached:
            self._show(select)
            start_worker(self, self._forecast_all, group="forecast", exclusive=True)

    def on_screen_resume(self) -> None:
        if self._outdated:  # the editor has started a run, and did not return here by itself
            self.call_later(self.action_reload)

    async def _forecast_all(self) -> None:
        """Forecast every profile, after the list is shown: the driver is slow to answer."""
        from codex_tui.ui.forecast.in_thread import forecast_entries

        entries, is_first = self._entries, not self._forecasts
        forecasts = await asyncio.to_thread(forecast_entries, entries)
        if self.is_attached and entries is self._entries:
            self._forecasts, self.forecasts_ready = forecasts, True
            has_moved = self.query_one(Choices).index != 0
            self._show(select_first=is_first and not has_moved)

    def _show(self, select: str | None = None, *, select_first: bool = False) -> None:
        """Show the profiles in their order. The selection stays on its profile, unless `select_first`."""
        from codex_tui.ui.profiles.order import find_recommended, sort_entries
        from codex_tui.ui.profiles.text import make_row  # slow to import, and not needed for the first paint

        self._entries[:] = sort_entries(self._entries, self._forecasts)
        recommended = find_recommended(self._entries, self._forecasts)
        rows = [
            (entry.name, make_row(entry, self._forecasts.get(entry.path), entry is recommended))
            for entry in self._entries
        ]
        if select_first and self._entries:
            select = self._entries[0].name
        self.query_one(Choices).set_rows(rows, select)
        self._describe()

    @property
    def picked(self) -> ProfileEntry | None:
        index = self.query_one(Choices).index
        return self._entries[index] if index is not None and index < len(self._entries) else None

    def on_choices_moved(self) -> None:
        self._describe()

    def on_choices_chosen(self) -> None:
        self.action_launch()

    def action_back(self) -> None:
        if len(self.app.screen_stack) > 1:
            self.dismiss()

    def _pick_valid(self) -> ProfileEntry | None:
        """The selected profile; if it has problems, tells the user and returns None."""
        if self.picked is not None and self.picked.problems:
            self.notify("This profile has problems. Press e to edit it.", severity="warning", markup=False)
            return None
        return self.picked

    def action_launch(self) -> None:
        if (entry := self._pick_valid()) is None:
            return
        from codex_tui.ui.launch.dialog import LaunchDialog

        self.app.push_screen(LaunchDialog(entry))

    def action_edit(self) -> None:
        entry = self.picked
        if entry is None:
            return
        from codex_tui.profiles.draft import Draft
        from codex_tui.ui.editor.screen import EditorScreen

        try:
            draft = Draft.extending(entry.path) if entry.shipped else Draft.open(entry.path)
        except CodexError as error:
            self.post_message(Trouble(error.message, error.hint))
            return
        self._outdated = True
        self.app.push_screen(EditorScreen(draft), self.action_reload)

    def action_data(self) -> None:
        if (entry := self._pick_valid()) is None:
            return
        if entry.profile is not None and entry.profile.dataset.path is None:
            from codex_tui.ui.data.ask_dataset import AskDataset

            self.app.push_screen(AskDataset(entry.name, self._typed_dataset), partial(self._show_typed_rows, entry))
        else:
            self._show_rows(entry)

    def _show_typed_rows(self, entry: ProfileEntry, name: str | None) -> None:
        if name:
            self._typed_dataset = name
            self._show_rows(entry, name)

    def _show_rows(self, entry: ProfileEntry, *names: str) -> None:
        from codex_tui.ui.data.open import open_profile

        def reload(_: object) -> None:  # the user may have edited the profile there
            self.call_later(self.action_reload, entry.name)

        start_worker(self, partial(open_profile, self, entry.path, names, reload), group="data", exclusive=True)

    async def action_edit_outside(self) -> None:
        entry = self.picked
        if entry is None:
            return
        import shlex
        import subprocess

        from codex_tui.profiles.library import make_editable

        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        try:
            path = make_editable(entry)
            with self.app.suspend():
                subprocess.run([*command, str(path)], check=False)
        except CodexError as error:
            self.post_message(Trouble(error.message, error.hint))
        except SuspendNotSupported:
            self.post_message(
                Trouble("An editor can't be opened from this terminal.", f"Edit the file in another terminal: {path}")
            )
        except OSError as error:
            self.post_message(
                Trouble(f"{command[0]} can't be started: {error.strerror}.", "Set EDITOR to your editor.")
            )
        await self.action_reload(entry.name)

    def action_duplicate(self) -> None:
        if entry := self.picked:
            start_worker(self, partial(self._duplicate, entry.path), group="files", exclusive=True)

    async def _duplicate(self, path: Path) -> None:
        from codex_tui.ui.editor.draft_files import ask_to_duplicate

        if copy := await ask_to_duplicate(self, path):
            await self.action_reload(copy.stem)

    def _describe(self) -> None:
        entry = self.picked
        if entry is None:
            text = "There are no profiles. Put a TOML file into the profiles folder of the app's settings."
            self.query_one("#profile", TextView).set_text([line((text, MUTED))])
            return
        from codex_tui.ui.profiles.text import describe_profile

        self.query_one("#profile", TextView).set_text(describe_profile(entry, self._forecasts.get(entry.path)))
        self.query_one(HintBar).show(HINTS[1:] if entry.problems else HINTS)


def _read_profiles() -> list[ProfileEntry]:
    from codex_tui.profiles.library import list_profiles

    return list_profiles()
