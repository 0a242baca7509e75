"""Moves from the data screen to the editor of its profile, and back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.ui.messages import Trouble

if TYPE_CHECKING:  # importing pydantic here would delay the first paint
    from codex_tui.data.target import Target
    from codex_tui.data.view import DataView
    from codex_tui.profiles.draft import Draft


def open_draft(screen: Screen[Any], view: DataView) -> Draft | None:
    """Opens the profile for the editor, with the max_seq_length of the data screen.

    Returns None after it has shown an error, if the profile cannot be opened or edited.
    """
    from codex_tui.base.toml_text import CannotEdit
    from codex_tui.profiles.draft import Draft

    path = view.target.path
    assert path is not None
    try:
        shipped = path.is_relative_to(locations.shipped_profiles())
        draft = Draft.extending(path) if shipped else Draft.open(path)
        if view.limit != view.own_limit:
            draft.set("model.max_seq_length", str(view.limit))
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
