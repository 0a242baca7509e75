"""Changes the profile of the data screen: in the editor, or at once if the change comes from the lengths screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.base.toml import format_literal
from codex_tui.base.toml_text import CannotEdit
from codex_tui.ui.lengths.screen import Changes
from codex_tui.ui.messages import Trouble

if TYPE_CHECKING:  # importing pydantic here would delay the first paint
    from codex_tui.data.target import Target
    from codex_tui.profiles.draft import Draft

Then = Callable[[str | None], Coroutine[Any, Any, None]]  # is called with the name of the profile
NO_PROFILE = "No profile to edit. A run keeps the profile it was started with."


def is_shipped(path: Path) -> bool:
    return path.is_relative_to(locations.shipped_profiles())


def edit_profile(screen: Screen[Any], path: Path | None, changes: Changes, then: Then) -> None:
    """Opens the editor with `changes` as unsaved changes. A shipped profile gets a copy that extends it."""
    from codex_tui.ui.editor.screen import EditorScreen

    if path is None:
        screen.notify(NO_PROFILE, markup=False)
    elif draft := _make_draft(screen, path, changes):
        screen.app.push_screen(EditorScreen(draft), then)


def save_changes(screen: Screen[Any], path: Path | None, changes: Changes, then: Then) -> None:
    """Writes `changes` into the person's own profile. Opens the editor if the profile is a shipped one."""
    if path is None or is_shipped(path):
        edit_profile(screen, path, changes, then)
    elif not changes:
        screen.notify(f"{clean(path.stem)} has these values already.", markup=False)
    elif draft := _make_draft(screen, path, changes):
        try:
            draft.save()
        except CodexError as error:
            screen.post_message(Trouble(error.message, error.hint))
            return
        values = ", ".join(f"{field.rpartition('.')[2]} = {format_literal(value)}" for field, value in changes.items())
        screen.notify(f"Saved {clean(path.name)}: {values}", markup=False)
        screen.call_later(then, path.stem)


def _make_draft(screen: Screen[Any], path: Path, changes: Changes) -> Draft | None:
    """Makes a draft of the profile with `changes`. Returns None after it has shown an error, if that is impossible."""
    from codex_tui.profiles.draft import Draft

    try:
        draft = Draft.extending(path) if is_shipped(path) else Draft.open(path)
        for field, value in changes.items():
            draft.set(field, format_literal(value))
    except CannotEdit as error:
        screen.post_message(
            Trouble(f"{error}.", "In the list of profiles, press E to open the file in your own editor.")
        )
        return None
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return None
    return draft


async def reload_target(target: Target, name: str | None) -> Target | None:
    """Returns the same rows with the profile `name`, or None if the profile was not saved or has problems."""
    from codex_tui.data.target import Target as TargetClass
    from codex_tui.profiles.library import find_profile

    own = target.path is not None and name == target.path.stem
    try:
        path = target.path if own and target.path else find_profile(name or "")
        return await asyncio.to_thread(TargetClass.from_profile, path, target.names)
    except CodexError:
        return None
