"""The Textual app: themes, global keys and the navigation between screens. Each screen is imported when it opens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")  # Textual reads these once, on import
os.environ.setdefault("TEXTUAL_FPS", "15")
os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from codex_tui.base import bandwidth, settings
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.text import clean
from codex_tui.ui.kit.spans import TerminalCells
from codex_tui.ui.messages import (
    CanLoseWork,
    CockpitClosed,
    OpenProfile,
    OpenRun,
    RunChanged,
    ShowField,
    ShowsFields,
    Trouble,
)
from codex_tui.ui.themes import DARK, LIGHT, MAX_CURVES, for_16_colours
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from textual.command import Provider

    from codex_tui.data.target import Target
    from codex_tui.engines.watch import EngineWatch
    from codex_tui.ui.alerts import Alerts
    from codex_tui.workers.room import ChatWay


REST_AFTER = 1.0  # seconds after the start, when the first screen is complete


def _get_finder() -> type[Provider]:
    from codex_tui.ui.palette import Finder

    return Finder


class CodexApp(App[None]):
    """Opens the cockpit of `run`, the rows of `data`, or, without both, the list of profiles.

    `pane` is the first pane of the cockpit, for example "chat". With `base`, the chat starts with the base model;
    `chat_way` says how it answers while the run trains.
    """

    TITLE = "Codex TUI"
    CSS = """
    * { scrollbar-size-vertical: 1; scrollbar-color: $rule; scrollbar-background: $background; }
    """
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = App.COMMANDS | {_get_finder}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit", show=False),
        Binding("p", "profiles", "Profiles", show=False),
        Binding("o", "runs", "Runs", show=False),
        Binding("question_mark", "help", "Help", show=False),
        Binding("ctrl+t", "toggle_theme", "Dark or light theme", show=False),
    ]

    def __init__(
        self,
        run: RunDirectory | None = None,
        *,
        pane: str | None = None,
        base: bool = False,
        chat_way: ChatWay | None = None,
        data: Target | None = None,
    ) -> None:
        super().__init__()
        self._data = data
        self._first_run = run
        self._first_pane = pane
        self._base, self._chat_way = base, chat_way
        self._terminal = TerminalCells()
        self._opened_runs: dict[str, RunDirectory] = {}
        self._is_light = False
        for theme in (DARK, LIGHT):
            self.register_theme(for_16_colours(theme) if self.console.color_system == "standard" else theme)
        with suppress(BadInput):  # a damaged settings.toml must not hide a run; doctor reports it
            self._is_light = settings.load().theme == "light"
        if self._is_light:
            self.theme = LIGHT.name
        else:  # as Textual's own theme is dark too, new variables are all that it needs before the first paint
            self.set_reactive(CodexApp.theme, DARK.name)
            self.stylesheet.set_variables(self.get_css_variables())

    @cached_property
    def alerts(self) -> Alerts:
        from codex_tui.ui.alerts import Alerts  # the first paint of most screens does without it

        return Alerts(self._write_to_terminal, self._complain)

    @cached_property
    def engine_watch(self) -> EngineWatch:
        from codex_tui.ui.after_start import watch_engines

        return watch_engines(self)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Returns the variables of themes other than DARK and LIGHT."""
        return {"rule": "#808080", **{f"curve-{number}": "#808080" for number in range(1, MAX_CURVES + 1)}}

    def get_default_screen(self) -> Screen[Any]:
        if self._first_run is not None:
            return self._cockpit(self._first_run, self._first_pane, base=self._base, chat_way=self._chat_way)
        if self._data is not None:
            from codex_tui.ui.data.screen import DataScreen

            return DataScreen(self._data)
        from codex_tui.ui.profiles.screen import ProfilesScreen

        return ProfilesScreen()

    def find_live_runs(self) -> list[RunDirectory]:
        """Finds the runs that this app has shown and that have not ended. They continue without the app."""
        return [run for run in self._opened_runs.values() if run.is_live()]

    def _cockpit(
        self, run: RunDirectory, pane: str | None = None, *, base: bool = False, chat_way: ChatWay | None = None
    ) -> Screen[Any]:
        from codex_tui.ui.cockpit.screen import CockpitScreen

        self._opened_runs[run.name] = run
        self.alerts.stop_following(run)
        return CockpitScreen(run, pane, base=base, chat_way=chat_way)

    async def on_open_run(self, message: OpenRun) -> None:
        """Opens the run above the first screen, so that Escape returns to the first screen."""
        if self._would_lose_work():
            return
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        await self._free_workers(self.screen)
        await self.push_screen(self._cockpit(message.run))

    async def on_open_profile(self, message: OpenProfile) -> None:
        if self._would_lose_work():
            return
        from codex_tui.ui.profiles.screen import ProfilesScreen

        await self._go_to(ProfilesScreen)
        if isinstance(self.screen, ProfilesScreen):
            await self.screen.action_reload(message.name)

    def on_show_field(self, message: ShowField) -> None:
        if isinstance(self.screen, ShowsFields):
            self.screen.show_field(message.path)
            return
        from codex_tui.profiles.schema import read_schema
        from codex_tui.ui.kit.dialogs import Notice

        schema = read_schema()[message.path]
        values = ", ".join([schema.type, *schema.limits])
        self.push_screen(Notice(message.path, f"{schema.text}\nValues: {values}."))

    def _would_lose_work(self) -> bool:
        """Whether a screen would lose something if another one took its place. Says what it is."""
        screens = [screen for screen in self.screen_stack if isinstance(screen, CanLoseWork)]
        reason = next((screen.reason_to_stay for screen in screens if screen.reason_to_stay), "")
        if reason:
            self.notify(reason, markup=False)
        return bool(reason)

    async def _free_workers(self, screen: Screen[Any]) -> None:
        """Unloads the models of a cockpit that is no longer visible. The next model needs their memory."""
        from codex_tui.ui.cockpit.screen import CockpitScreen

        if isinstance(screen, CockpitScreen):
            await screen.free_workers()

    def on_run_changed(self, message: RunChanged) -> None:
        self.alerts.on_change(message.run, message.watched)
        if message.watched.ended:
            self.alerts.on_end_shown(message.run)

    def on_cockpit_closed(self, message: CockpitClosed) -> None:
        self.alerts.keep_following(message.follower)

    def _write_to_terminal(self, sequence: str) -> None:
        if self._driver and not self.is_headless:
            self._driver.write(sequence)

    def _complain(self, sentence: str) -> None:
        """Show a problem of the person's notify command. It runs in a thread of its own."""
        self.call_later(self.notify, sentence, severity="error", markup=False)

    def on_trouble(self, message: Trouble) -> None:
        from codex_tui.ui.kit.dialogs import Notice

        self.push_screen(Notice(message.message, message.hint))

    async def action_quit(self) -> None:
        """Quits. A screen that would lose something first asks what to do."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, CanLoseWork) and screen.reason_to_stay:
                screen.ask_and_quit()
                return
        self.exit()

    def action_help_quit(self) -> None:
        """Answers Ctrl-C: says which key quits this screen."""
        from codex_tui.ui.kit.hints import HintBar

        bars = self.screen.query(HintBar)
        key = bars.first().quit_key if bars else "ctrl+q"
        self.notify(f"{key} quits the app. A training run continues.", title="Do you want to quit?", markup=False)

    async def action_profiles(self) -> None:
        from codex_tui.ui.profiles.screen import ProfilesScreen

        await self._go_to(ProfilesScreen)

    async def action_runs(self) -> None:
        from codex_tui.ui.runs.screen import RunsScreen

        self.engine_watch.look_at_all()
        await self._go_to(RunsScreen)

    def action_help(self) -> None:
        from codex_tui.ui.help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    def action_toggle_theme(self) -> None:
        self._is_light = not self._is_light
        self.theme = LIGHT.name if self._is_light else DARK.name
        from codex_tui.base.settings_change import change_setting

        try:
            change_setting("app.theme", "light" if self._is_light else "dark")
        except CodexError as error:
            self.notify(f"The theme is not remembered: {clean(error.message)}", markup=False)

    async def _go_to(self, screen: type[Screen[Any]]) -> None:
        """Shows `screen`. Goes back to it if it is open already, and otherwise opens it on top."""
        if self.screen.is_modal or isinstance(self.screen, screen):
            return
        if any(isinstance(open_screen, screen) for open_screen in self.screen_stack):
            if self._would_lose_work():  # of a screen below one that has no question about it
                return
            while not isinstance(self.screen, screen):
                await self.pop_screen()
        else:
            await self.push_screen(screen())

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        super()._display(screen, self._terminal.keep_only_changes(renderable))

    def on_resize(self) -> None:
        self._terminal.forget()

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, self._redraw_all)
        self.app_suspend_signal.subscribe(self, lambda _: self.alerts.suspend_title())
        self.set_interval(bandwidth.pace.tick, lambda: self.alerts.poll())
        self.set_timer(REST_AFTER, self._begin_rest)

    def _begin_rest(self) -> None:
        from codex_tui.ui.after_start import collect_garbage

        collect_garbage()
        self.engine_watch.look_at_all()

    def _redraw_all(self, _: object) -> None:
        """Redraws the screen after another program (an editor, the shell) has used the terminal."""
        self._terminal.forget()
        self.alerts.resume_title()
        self.refresh(layout=True)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Returns a named command for each key of the screen."""
        from codex_tui.ui.palette import describe_command, is_command

        seen = set()
        for node, binding, enabled, _ in screen.active_bindings.values():
            wanted = binding.action not in seen and is_command(binding.action, node)
            if enabled and binding.description and wanted and not binding.system:
                seen.add(binding.action)
                yield SystemCommand(
                    binding.description,
                    describe_command(binding),
                    lambda action=binding.action: self.call_later(self._run_from_palette, action),
                )

    async def _run_from_palette(self, action: str) -> None:
        await self.run_action(action, self.screen.focused or self.screen)
