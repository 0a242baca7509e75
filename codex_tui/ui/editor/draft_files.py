"""The files of the editor: it saves, copies and reloads the draft, and notices what other programs change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.profiles.draft import ChangedOnDisk, Draft, duplicate, free_name, wrong_with_name
from codex_tui.ui.kit.dialogs import Ask, Options
from codex_tui.ui.messages import Trouble

NAME_HELP = "It goes into the folder profiles of your settings."


class DraftFiles:
    """Reads and writes the files of `draft` for the `screen` that edits it. `show` draws the draft again."""

    def __init__(self, screen: Screen[str], draft: Draft, show: Callable[[], None]) -> None:
        self.conflict = False  # the file has changed on the disk, and so has the draft
        self._screen, self._draft, self._show = screen, draft, show
        self._asking = False

    @property
    def unsaved(self) -> bool:
        """Whether changes would be lost without a question. False while the question is on the screen."""
        return self._draft.dirty and not self._asking

    def look_at_disk(self) -> None:
        """Reads what other programs have changed. The draft's own file is read only if no change would be lost."""
        conflict = self._draft.changed_on_disk()
        if conflict and not self._draft.dirty and self._draft.path.exists():
            conflict = not self._reload()
        changed = self._draft.reread_parents()
        if changed or conflict != self.conflict:
            self.conflict = conflict
            self._show()
        if changed:
            names = ", ".join(clean(path.name) for path in changed)
            self._screen.notify(f"{names} changed on disk: the inherited values are new.", markup=False)

    async def save(self) -> bool:
        if self._draft.is_new:
            return await self.save_as()
        try:
            self._draft.save()
        except ChangedOnDisk as changed:
            return await self._settle(changed)
        except CodexError as error:
            self._screen.post_message(Trouble(error.message, error.hint))
            return False
        return self._report_saved()

    async def save_as(self) -> bool:
        new = self._draft.is_new
        given = self._draft.path.stem if new else free_name(self._draft.path.stem)
        name = await self._screen.app.push_screen_wait(
            Ask("Save" if new else "Save as", f"Name of the profile. {NAME_HELP}", "save", given, wrong_with_name)
        )
        if name is None:
            return False
        try:
            self._draft.save_as(name)
        except CodexError as error:
            self._screen.post_message(Trouble(error.message, error.hint))
            return False
        return self._report_saved()

    async def duplicate(self) -> None:
        await ask_to_duplicate(self._screen, self._draft.source or self._draft.path)

    async def leave(self, to: str) -> None:
        """Leaves the editor for the action `to` of the app, "quit" or "", once nothing is unsaved."""
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
                    f"{self._draft.path.stem} has changes that are not saved.",
                    [("s", "save and leave"), ("d", "discard them")],
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
        self._screen.notify(f"{clean(self._draft.path.name)} changed on disk: read again.", markup=False)
        return True

    async def _settle(self, changed: ChangedOnDisk) -> bool:
        """Asks what to do about a file that another program has changed. Writes nothing before the answer."""
        self.conflict = True
        self._show()
        options = [("o", "write it anew" if changed.gone else "overwrite it")]
        options += [] if changed.gone else [("t", "take theirs, undo brings yours back")]
        answer = await self._screen.app.push_screen_wait(
            Options("Changed on disk", f"{changed.message}\n{changed.hint}", options, "leave it")
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
        still = f" It can't be launched yet: {problems} problem{'s' if problems > 1 else ''}." if problems else ""
        self._screen.notify(f"Saved {clean(self._draft.path.name)}.{still}", markup=False)
        return True


async def ask_to_duplicate(screen: Screen[Any], source: Path) -> Path | None:
    """Asks for a name and copies the file with its comments. Call it in a worker. Returns the copy, or None."""
    text = f"Name of the copy of {source.name}, as it is on the disk. {NAME_HELP}"
    given = free_name(f"{source.stem}-copy")
    name = await screen.app.push_screen_wait(Ask("Duplicate", text, "copy", given, wrong_with_name))
    if name is None:
        return None
    try:
        copy = duplicate(source, name)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return None
    screen.notify(f"Copied to {clean(copy.name)}.", markup=False)
    return copy
