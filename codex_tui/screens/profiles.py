"""The profile picker: what there is, what each is for, and what is wrong with it."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen

from codex_tui.core.text import clean, shorten
from codex_tui.messages import Trouble
from codex_tui.widgets.choices import Choices, Row
from codex_tui.widgets.hints import HintBar
from codex_tui.widgets.ink import ACCENT, MUTED, STRONG, line, spread
from codex_tui.widgets.text_view import TextView
from codex_tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:  # pydantic is read after the first paint
    from codex_tui.core.profiles import ProfileEntry
    from training.contract.profile import Profile

MOST_LINES = 1000  # of a profile's file that are shown
HINTS = (("Enter", "launch"), ("e", "edit"), ("o", "runs"), ("↑ ↓", "choose"), ("Tab", "details"))


class ProfilesScreen(Screen[None]):
    DEFAULT_CSS = """
    ProfilesScreen > Horizontal > * { border: round $rule; border-title-color: $text-muted; padding: 0 1; }
    ProfilesScreen > Horizontal > *:focus { border: round $primary; border-title-color: $primary; }
    #profiles { width: 2fr; min-width: 30; max-width: 60; padding: 0; }
    #profile { width: 3fr; margin-left: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "launch", "Launch"),
        Binding("e", "edit", "Edit"),
        Binding("ctrl+r", "reload", "Read the profiles again"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[ProfileEntry] = []

    def compose(self) -> ComposeResult:
        yield TitleBar("Profiles", "pick what to train; Enter launches it")
        with Horizontal():
            yield Choices(id="profiles", lines=2)
            yield TextView(id="profile")
        yield HintBar(HINTS)

    def on_mount(self) -> None:
        self.query_one("#profiles").border_title = "Profiles"
        self.query_one("#profile").border_title = "What it does"
        self.call_after_refresh(self.action_reload)

    async def action_reload(self, pick: str | None = None) -> None:
        """Reads the profiles in a thread, and stands on the one named `pick`, or where it stood."""
        self._entries = await asyncio.to_thread(_read_profiles)
        self.query_one(Choices).set_rows([(entry.name, _row(entry)) for entry in self._entries], pick)
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

    def action_launch(self) -> None:
        entry = self.picked
        if entry is None:
            return
        if entry.problems:
            self.notify("This profile has problems; e edits it.", severity="warning", markup=False)
            return
        from codex_tui.screens.launch import LaunchDialog

        self.app.push_screen(LaunchDialog(entry))

    async def action_edit(self) -> None:
        entry = self.picked
        if entry is None:
            return
        from codex_tui.core.profiles import editable_copy

        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        try:
            path = editable_copy(entry)
            with self.app.suspend():
                subprocess.run([*command, str(path)], check=False)
        except SuspendNotSupported:
            self.post_message(Trouble("This terminal can't be lent to an editor.", f"Edit the file outside: {path}"))
        except OSError as error:
            self.post_message(
                Trouble(f"{command[0]} can't be started: {error.strerror}.", "Set EDITOR to your editor.")
            )
        await self.action_reload(entry.name)

    def _describe(self) -> None:
        entry = self.picked
        lines = list(_about(entry)) if entry else [
            line(("There are no profiles. Put a TOML file into the folder profiles of the app's settings.", MUTED))
        ]  # fmt: skip
        self.query_one("#profile", TextView).set_text(lines)
        self.query_one(HintBar).show(HINTS[1:] if entry and entry.problems else HINTS)


def _read_profiles() -> list[ProfileEntry]:
    from codex_tui.core.profiles import list_profiles

    return list_profiles()


def _row(entry: ProfileEntry) -> Row:
    whose = "shipped" if entry.shipped else "yours"
    mark = line(("✗ ", "bold $error")) if entry.problems else Content("")

    def row(width: int) -> list[Content]:
        name = shorten(clean(entry.name), max(8, width - len(whose) - 4))
        what = clean(entry.title) or ("has problems" if entry.problems else "")
        return [
            spread(Content.assemble(mark, (name, STRONG)), line((whose, MUTED)), width),
            line((shorten(what, width), MUTED)),
        ]

    return row


def _about(entry: ProfileEntry) -> Iterator[Content]:
    yield line((clean(entry.title or entry.name), STRONG))
    if entry.problems:
        yield Content("")
        count = len(entry.problems)
        yield line((f"✗ {count} problem{'s' if count > 1 else ''}; e edits the file", "bold $error"))
        for problem in entry.problems:
            where = f"line {problem.line}" if problem.line else "the file"
            yield line((f"  {where}", ACCENT), f"  {clean(problem.field)}" if problem.field else "")
            yield line(f"    {clean(problem.message)}")
    elif entry.profile:
        if entry.description:
            yield line((clean(entry.description, newlines=True), ""))
        yield Content("")
        yield from _numbers(entry.profile)
    yield Content("")
    where = "Shipped with the app; e makes a copy of your own." if entry.shipped else f"Yours: {_tilde(entry.path)}"
    yield line((clean(where), MUTED))
    yield Content("")
    yield from _file(entry)


def _file(entry: ProfileEntry) -> Iterator[Content]:
    """The profile as it is written: its comments say what each knob costs and buys. Problems are marked in place."""
    try:
        lines = entry.path.read_text(encoding="utf-8", errors="replace").splitlines()[:MOST_LINES]
    except OSError:
        return
    wrong = {problem.line for problem in entry.problems}
    for number, text in enumerate(lines, 1):
        setting, sign, comment = clean(text).partition("#")
        if wrong:
            mark = ("✗", "bold $error") if number in wrong else " "
            yield line(mark, (f"{number:3} ", MUTED), setting, (sign + comment, MUTED))
        else:
            yield line(setting, (sign + comment, MUTED))


def _tilde(path: Path) -> Path:
    return Path("~") / path.relative_to(Path.home()) if path.is_relative_to(Path.home()) else path


def _numbers(profile: Profile) -> Iterator[Content]:
    training, model = profile.training, profile.model
    batch, accumulated = training.per_device_train_batch_size, training.gradient_accumulation_steps
    epochs = training.num_train_epochs
    length = f"{training.max_steps:,} steps" if training.max_steps else f"{epochs:g} epoch{'s' if epochs != 1 else ''}"
    for name, value in (
        ("model", clean(model.name)),
        (
            "weights",
            "4-bit (QLoRA)" if model.load_in_4bit else f"16-bit, {model.dtype}" if model.dtype != "auto" else "16-bit",
        ),
        ("sequence", f"{model.max_seq_length:,} tokens"),
        ("LoRA", f"r {profile.lora.r}, alpha {profile.lora.lora_alpha}, dropout {profile.lora.lora_dropout:g}"),
        ("batch", f"{batch} x {accumulated} accumulated = {batch * accumulated}"),
        ("rate", f"{training.learning_rate:g}, {training.lr_scheduler_type}, {training.warmup_steps} warm-up steps"),
        ("length", length),
        ("optimiser", training.optim),
        ("dataset", clean(profile.dataset.path or "asked for at the launch")),
    ):
        yield line((f"{name:<11}", MUTED), value)
