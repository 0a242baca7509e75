"""The ways to the data screen and to the editor of its profile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from codex_tui.core import locations
from codex_tui.core.errors import CodexError
from codex_tui.messages import Trouble

if TYPE_CHECKING:  # pydantic is read after the first paint
    from codex_tui.core.data_target import Target
    from codex_tui.core.data_view import DataView
    from codex_tui.core.profile_document import Draft
    from training.contract.run_directory import RunDirectory


async def open_profile(screen: Screen[Any], path: Path, then: Callable[[Any], Any] | None = None) -> None:
    """From a worker: the rows that a run of the profile at `path` would take."""
    from codex_tui.core.data_target import Target

    await _open(screen, lambda: Target.of_profile(path), then)


async def open_run(screen: Screen[Any], run: RunDirectory) -> None:
    """From a worker: the rows that `run` was started with."""
    from codex_tui.core.data_target import Target

    await _open(screen, lambda: Target.of_run(run), None)


async def _open(screen: Screen[Any], find: Callable[[], Target], then: Callable[[Any], Any] | None) -> None:
    """In a thread: a dataset of the Hub is fetched first."""
    from codex_tui.screens.data import DataScreen

    try:
        target = await asyncio.to_thread(find)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return
    if screen.is_current:  # else a person has gone on
        await screen.app.push_screen(DataScreen(target), then)


def draft_of(screen: Screen[Any], view: DataView) -> Draft | None:
    """The profile for the editor, with the max_seq_length that is looked at."""
    from codex_tui.core.profile_document import Draft
    from codex_tui.core.toml_text import CannotEdit

    path = view.target.path
    assert path is not None
    try:
        shipped = path.is_relative_to(locations.shipped_profiles())
        draft = Draft.extending(path) if shipped else Draft.open(path)
        if view.limit != view.own_limit:
            draft.set("model.max_seq_length", str(view.limit))
    except CannotEdit as error:
        screen.post_message(Trouble(f"{error}.", "E in the list of profiles opens the file in your own editor."))
        return None
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return None
    return draft


async def edited(target: Target, name: str | None) -> Target | None:
    """The same rows by the profile of that `name`; None where it was not saved, or can't be used as it is."""
    from codex_tui.core.data_target import Target as Targets
    from codex_tui.core.profiles import find_profile

    own = target.path is not None and name == target.path.stem
    try:
        path = target.path if own and target.path else find_profile(name or "")
        return await asyncio.to_thread(Targets.of_profile, path, target.names)
    except CodexError:
        return None
