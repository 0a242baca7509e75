"""The files of the editor: saves, copies and reloads the draft, and notices changes by other programs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean, pluralize
from codex_tui.profiles.draft import ChangedOnDisk, Draft, duplicate, explain_bad_name, find_free_name
from codex_tui.ui.kit.dialogs import Ask, Options
from codex_tui.ui.messages import Trouble

if TYPE_CHECKING:
    from codex_tui.profiles.library import ProfileEntry

NAME_HELP = "It is saved in the profiles folder of your settings."


class DraftFiles:
    """Reads and writes the files of `draft` for the `screen` that edits it. `show` redraws the draft after a change."""

    def __init__(self, screen: Screen[str], draft: Draft, show: Callable[[], None]) -> None:
        self.conflict = False  # whether another program has changed the file, and the draft has unsaved changes
        self._screen, self._draft, self._show = screen, draft, show
        self._asking = False

    @property
    def unsaved(self) -> bool:
        """Whether leaving must ask about unsaved changes. False while the question is on the screen."""
        return self._draft.dirty and not self._asking

    def check_disk(self) -> None:
        """Reads the files that other programs have changed. The draft's own file is read only if no change is lost."""
        conflict = self._draft.changed_on_disk()
        if conflict and not self._draft.dirty and self._draft.path.exists():
            conflict = not self._reload()
        parents = self._draft.reread_parents()
        if parents or conflict != self.conflict:
            self.conflict = conflict
            self._show()
        if parents:
            names = ", ".join(clean(path.name) for path in parents)
            self._screen.notify(f"{names} changed on disk. The inherited values are updated.", markup=False)

    async def save(self) -> bool:
        """Saves the draft, and asks for a name if it is new. Returns whether it was saved."""
        if self._draft.is_new:
            return await self.save_as()
        try:
            self._draft.save()
        except ChangedOnDisk as change:
            return await self._resolve_conflict(change)
        except CodexError as error:
            self._screen.post_message(Trouble(error.message, error.hint))
            return False
        return self._report_saved()

    async def save_as(self) -> bool:
        """Asks for a name and saves the draft under it. Returns whether it was saved."""
        new = self._draft.is_new
        default = self._draft.path.stem if new else find_free_name(self._draft.path.stem)
        name = await self._screen.app.push_screen_wait(
            Ask("Save" if new else "Save as", f"Profile name. {NAME_HELP}", "save", default, explain_bad_name)
        )
        if name is None:
            return False
        try:
            self._draft.save_as(name)
        except CodexError as error:
            self._screen.post_message(Trouble(error.message, error.hint))
            return False
        return self._report_saved()

    async def save_for_launch(self) -> ProfileEntry | None:
        """Saves the draft if that is necessary. Returns the profile to launch, or None if it is not saved or can't
        start. A new draft without a change is not saved: the shipped profile that it extends is launched."""
        from codex_tui.profiles.library import read_entry

        if problems := len(self._draft.resolved.problems):
            self._screen.notify(f"It can't start yet: {pluralize(problems, 'problem')}.", severity="warning")
            return None
        if self._draft.source and not self._draft.dirty:
            return await asyncio.to_thread(read_entry, self._draft.source, True)
        if self._draft.dirty and not await self.save():
            return None
        return await asyncio.to_thread(read_entry, self._draft.path, False)

    async def duplicate(self) -> None:
        await ask_to_duplicate(self._screen, self._draft.source or self._draft.path)

    async def leave(self, to: str) -> None:
        """Leaves the editor, after a question if there are unsaved changes.

        `to` is the action of the app to run then: "quit", "profiles" or "runs", or "" to go back.
        """
        if self._draft.dirty and not await self._may_leave():
            return
        if to == "quit":
            self._screen.app.exit()
            return
        self._screen.dismiss(self._draft.path.stem)
        if to:
            self._screen.app.call_later(self._screen.app.run_action, to)

    async def _may_leave(self) -> bool:
        self._asking = True
        try:
            answer = await self._screen.app.push_screen_wait(
                Options(
                    "Unsaved changes",
                    f"{self._draft.path.stem} has unsaved changes.",
                    [("s", "save and leave"), ("d", "discard changes")],
                    "stay",
                )
            )
            return answer == "d" or (answer == "s" and await self.save())
        finally:
            self._asking = False

    def _reload(self) -> bool:
        try:
            self._draft.reload()
        except CodexError:
            return False
        self.conflict = False
        self._show()
        self._screen.notify(f"{clean(self._draft.path.name)} changed on disk. It is reloaded.", markup=False)
        return True

    async def _resolve_conflict(self, change: ChangedOnDisk) -> bool:
        """Asks what to do about a file that another program has changed. Writes nothing before the answer.

        Returns whether the draft now equals the file.
        """
        self.conflict = True
        self._show()
        options = [("o", "write it again" if change.gone else "overwrite it")]
        options += [] if change.gone else [("t", "reload it (undo restores yours)")]
        answer = await self._screen.app.push_screen_wait(
            Options("Changed on disk", f"{change.message}\n{change.hint}", options, "cancel")
        )
        if answer == "t":
            return self._reload()
        if answer != "o":
            return False
        self._draft.save(overwrite=True)
        return self._report_saved()

    def _report_saved(self) -> bool:
        self.conflict = False
        self._show()
        problems = len(self._draft.resolved.problems)
        warning = f" It cannot start yet: {pluralize(problems, 'problem')}." if problems else ""
        self._screen.notify(f"Saved {clean(self._draft.path.name)}.{warning}", markup=False)
        return True


async def ask_to_duplicate(screen: Screen[Any], source: Path) -> Path | None:
    """Asks for a name and copies the file with its comments. Call it in a worker.

    Returns the path of the copy, or None if a person cancels or the copy fails.
    """
    text = f"Name for the copy of {source.name} as saved on disk. {NAME_HELP}"
    default = find_free_name(f"{source.stem}-copy")
    name = await screen.app.push_screen_wait(Ask("Duplicate", text, "copy", default, explain_bad_name))
    if name is None:
        return None
    try:
        copy = duplicate(source, name)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return None
    screen.notify(f"Copied to {clean(copy.name)}.", markup=False)
    return copy
