"""The command palette, the help, the clickable hints and the theme that is remembered."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.data_screen import app_on
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until
from textual.app import App
from textual.binding import Binding
from textual.command import CommandPalette
from textual.widgets import OptionList

from codex_tui import ui
from codex_tui.base import locations, settings
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.help import SECTIONS, HelpScreen
from codex_tui.ui.kit.dialogs import Notice
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.palette import DESCRIPTIONS
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.ui.runs.screen import RunsScreen
from training.contract import events as ev

WIDE, NARROW = (120, 36), (80, 24)


def list_commands(app: App[Any]) -> dict[str, str]:
    return {command.title: command.help for command in app.get_system_commands(app.screen)}


async def choose(pilot: Any, text: str) -> None:
    """Type `text` into the command palette and choose the first command that it finds."""
    await pilot.press("ctrl+p")
    await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
    await pilot.press(*("space" if letter == " " else letter for letter in text))
    found = pilot.app.screen.query_one(OptionList)
    wanted = text.partition("_")[0].lower()
    await until(pilot, lambda: found.option_count and wanted in str(found.get_option_at_index(0).prompt).lower())
    await pilot.press("enter")
    await pilot.pause()
    if isinstance(pilot.app.screen, CommandPalette):  # the first Enter only picked the command
        await pilot.press("enter")


@pytest.mark.parametrize("screen", ["cockpit", "profiles", "runs", "editor", "chat"])
async def test_the_palette_describes_each_command_and_has_no_keys_of_movement(make_run: Any, screen: str) -> None:
    run = make_run()
    async with CodexApp(run if screen in ("cockpit", "chat") else None).run_test(size=WIDE) as pilot:
        await settled(pilot)
        if screen == "chat":
            await pilot.press("4")
        elif screen == "runs":
            await pilot.press("o")
        elif screen == "editor":
            await pilot.press("e")
        await until(pilot, lambda: pilot.app.screen.focused)
        commands = list_commands(pilot.app)
        assert not {"Up", "Down", "Page up", "First", "Field above", "Move cursor left"} & {*commands}
        if screen != "chat":  # where "?" is typed
            assert commands["Help"] == f"{DESCRIPTIONS['help']} Key: ?"
            assert commands["Dark or light theme"].endswith("Key: ctrl+t")  # written as in the help
        nothing_said = {title for title, about in commands.items() if about.startswith("Key: ")}
        assert not nothing_said


async def test_the_palette_describes_each_command_of_the_data_screen(profile: Path, dataset: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await until(pilot, lambda: pilot.app.screen.focused)
        commands = list_commands(pilot.app)
        assert commands["Model"] == "Shows the row as the model sees it. Key: 1"
        assert commands["Read the row"].endswith("Key: Enter")
        assert not {title for title, about in commands.items() if about.startswith("Key: ")}


def test_each_description_is_of_an_action_that_a_key_has() -> None:
    actions = {binding.action for _, binding in CodexApp()._bindings}
    for found in pkgutil.walk_packages(ui.__path__, f"{ui.__name__}."):
        for value in vars(importlib.import_module(found.name)).values():
            own = vars(value).get("BINDINGS", ()) if isinstance(value, type) else ()
            actions |= {binding.action for binding in own if isinstance(binding, Binding)}
    assert not {*DESCRIPTIONS} - {action.removeprefix("app.").removeprefix("screen.") for action in actions}


async def test_the_palette_opens_a_run(make_run: Any) -> None:
    run = make_run("zombies-7")
    async with CodexApp().run_test(size=WIDE) as pilot:
        await settled(pilot)
        await choose(pilot, "zombies-7")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        assert pilot.app.screen.run_directory.path == run.path


async def test_the_palette_selects_a_profile(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await choose(pilot, "profile small-card")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
        await settled(pilot)
        assert pilot.app.screen.picked.name == "small-card"


async def test_the_palette_explains_a_field_and_goes_to_it_in_the_editor() -> None:
    async with CodexApp().run_test(size=WIDE) as pilot:
        await settled(pilot)
        await choose(pilot, "lora.lora_alpha")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert "lora.lora_alpha" in screen_text(pilot.app)
        await pilot.press("escape", "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await choose(pilot, "lora.lora_alpha")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await until(pilot, lambda: pilot.app.screen.picked.schema.path == "lora.lora_alpha")


async def test_unsaved_changes_are_kept_when_the_palette_finds_a_run(make_run: Any) -> None:
    make_run("zombies-7")
    async with CodexApp().run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        editor = pilot.app.screen
        editor.set_field('"changed"', "title")
        await until(pilot, lambda: editor.unsaved)
        await choose(pilot, "zombies-7")
        await until(pilot, lambda: "unsaved changes" in str([note.message for note in pilot.app._notifications]))
        assert pilot.app.screen is editor and editor.unsaved


@pytest.mark.parametrize(
    ("keys", "first"), [((), "Cockpit"), (("3",), "Samples"), (("p",), "Profiles"), (("p", "e"), "Editor")]
)
async def test_help_begins_with_the_keys_of_this_screen(make_run: Any, keys: tuple[str, ...], first: str) -> None:
    async with CodexApp(make_run()).run_test(size=NARROW) as pilot:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
            await until(pilot, lambda: pilot.app.screen.focused)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        shown = screen_text(pilot.app)
        order = sorted((title for title, _ in SECTIONS if f" {title} " in shown), key=lambda t: shown.index(f" {t} "))
        assert order[0] == first


async def test_while_a_run_loads_its_header_says_what_it_is_and_how_long_it_took_last_time(
    make_run: Any,
) -> None:
    make_run("zombies-0", end="done", steps=20)
    async with CodexApp(make_run("zombies-1", end="loading")).run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "first step last time after 0:" in screen_text(pilot.app))
        text = screen_text(pilot.app)
        assert "dataset demo:zombie-waves" in text and "epochs" in text


async def test_while_the_model_loads_its_line_says_how_long_it_still_takes(make_run: Any) -> None:
    make_run("zombies-0", end="done", steps=20)  # which had loaded the model after 10 seconds
    run = make_run("zombies-1", end="loading")
    started = msgspec.json.decode(run.events.read_bytes().splitlines()[0], type=ev.Started)
    loading = ev.Phase(name="loading", detail="Unsloth", total=3, unit="parts", time=started.time + 3)
    run.events.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in (started, loading)))
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "loading: Unsloth 0 / 3 parts  about 0:07 left" in screen_text(pilot.app))
        append_events(run, ev.Phase(name="tokenising", done=100, total=300, unit="rows"))
        await until(pilot, lambda: "tokenising 100 / 300 rows   33 %" in screen_text(pilot.app))


async def test_once_the_probe_has_timed_a_step_the_header_says_how_long_the_run_takes(make_run: Any) -> None:
    run = make_run("zombies-1", end="loading")
    lines = run.events.read_bytes().splitlines()
    last = msgspec.json.decode(lines[-1])
    with run.events.open("ab") as file:
        for number, event in enumerate((
            ev.Resolved(total_steps=60, steps_per_epoch=60, train_rows=60, eval_rows=0),
            ev.Probe(tokens=100, rows=1, step_seconds=2.0), ev.Phase(name="sampling", detail="the base model's answer"),
        )):  # fmt: skip
            event.seq, event.time = len(lines) + number, last["time"] + number
            file.write(msgspec.json.encode(event) + b"\n")
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "ETA 2:00" in screen_text(pilot.app))
        assert "elapsed" in screen_text(pilot.app)


async def test_the_theme_is_remembered(make_run: Any) -> None:
    run = make_run()
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: settings.load().theme == "light")
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        assert pilot.app.theme == "codex-light"
        await pilot.press("ctrl+t")
        await until(pilot, lambda: settings.load().theme == "dark")
        assert pilot.app.theme == "codex-dark"


async def test_damaged_settings_keep_their_text_and_the_theme_changes(make_run: Any) -> None:
    path = locations.settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[app\n")
    async with CodexApp(make_run()).run_test(size=NARROW) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "not remembered" in str([note.message for note in pilot.app._notifications]))
        assert pilot.app.theme == "codex-light" and path.read_text() == "[app\n"


async def test_a_click_on_a_hint_presses_its_key(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)

        async def click(text: str) -> None:
            bar = pilot.app.screen.query_one(HintBar)
            row = "".join(segment.text for segment in bar.render_line(0))
            assert await pilot.click(HintBar, offset=(row.index(text) + 1, 0))

        await click("o runs")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
        await settled(pilot)
        await click("Enter open")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        await settled(pilot)
        await click("5 panes")  # the second key of "1-5"
        await until(pilot, lambda: pilot.app.screen.query_one("#log").has_class("current"))
        await click("? help")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
