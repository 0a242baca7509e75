"""The editor's part that reads and writes files: save, save as, duplicate, leave, and what changed meanwhile."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.profiles.draft import ChangedOnDisk, Draft, duplicate, free_name, wrong_with_name
from codex_tui.ui.kit.dialogs import Ask, Options
from codex_tui.ui.messages import Trouble

NAME_HELP = "It goes into the folder profiles of your settings."


class Files(Screen[str]):
    """For the editor: `draft` is what it edits, `show_draft` draws it."""

    draft: Draft
    conflict: bool

    def show_draft(self) -> None:
        raise NotImplementedError

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        self.run_worker(work, group="files", exclusive=True, exit_on_error=False)

    def look_at_disk(self) -> None:
        """Another hand's change is read where nothing of this one's would be lost, and told where it would."""
        conflict = self.draft.changed_on_disk()
        if conflict and not self.draft.dirty and self.draft.path.exists():
            conflict = not self._reload()
        if conflict != self.conflict:
            self.conflict = conflict
            self.show_draft()

    def _reload(self) -> bool:
        try:
            self.draft.reload()
        except CodexError:
            return False
        self.conflict = False
        self.show_draft()
        self.notify(f"{clean(self.draft.path.name)} changed on disk: read again.", markup=False)
        return True

    def action_save(self) -> None:
        self._do(self._save())

    def action_save_as(self) -> None:
        self._do(self._save_as())

    def action_duplicate(self) -> None:
        self._do(self._duplicate())

    def action_leave(self, to: str = "") -> None:
        self._do(self._leave(to))

    async def _save(self) -> bool:
        if self.draft.is_new:
            return await self._save_as()
        try:
            self.draft.save()
        except ChangedOnDisk as changed:
            return await self._settle(changed)
        except CodexError as error:
            self.post_message(Trouble(error.message, error.hint))
            return False
        return self._saved()

    async def _settle(self, changed: ChangedOnDisk) -> bool:
        """Another hand was at the file: nothing happens to it before a person has said what."""
        self.conflict = True
        self.show_draft()
        options = [("o", "write it anew" if changed.gone else "overwrite it")]
        options += [] if changed.gone else [("t", "take theirs, undo brings yours back")]
        answer = await self.app.push_screen_wait(
            Options("Changed on disk", f"{changed.message}\n{changed.hint}", options, "leave it")
        )
        if answer == "t":
            return self._reload()
        if answer != "o":
            return False
        self.draft.save(overwrite=True)
        return self._saved()

    async def _save_as(self) -> bool:
        new = self.draft.is_new
        given = self.draft.path.stem if new else free_name(self.draft.path.stem)
        name = await self.app.push_screen_wait(
            Ask("Save" if new else "Save as", f"Name of the profile. {NAME_HELP}", "save", given, wrong_with_name)
        )
        if name is None:
            return False
        try:
            self.draft.save_as(name)
        except CodexError as error:
            self.post_message(Trouble(error.message, error.hint))
            return False
        return self._saved()

    def _saved(self) -> bool:
        self.conflict = False
        self.show_draft()
        problems = len(self.draft.resolved.problems)
        still = f" It can't be launched yet: {problems} problem{'s' if problems > 1 else ''}." if problems else ""
        self.notify(f"Saved {clean(self.draft.path.name)}.{still}", markup=False)
        return True

    async def _duplicate(self) -> None:
        await ask_to_duplicate(self, self.draft.source or self.draft.path)

    async def _leave(self, to: str) -> None:
        if self.draft.dirty and not await self._may_leave():
            return
        if to == "quit":
            self.app.exit()
            return
        self.dismiss(self.draft.path.stem)
        if to:
            self.app.call_later(self.app.run_action, to)

    async def _may_leave(self) -> bool:
        answer = await self.app.push_screen_wait(
            Options(
                "Unsaved changes",
                f"{self.draft.path.stem} has changes that are not saved.",
                [("s", "save and leave"), ("d", "discard them")],
                "stay",
            )
        )
        return answer == "d" or (answer == "s" and await self._save())


async def ask_to_duplicate(screen: Screen[Any], source: Path) -> Path | None:
    """From a worker: copies the file, comments and all, under a name that is asked for."""
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
