"""Renames, annotates, deletes and cleans up a run from the list. Each deletion says what it frees and asks first."""

from __future__ import annotations

import asyncio

from textual.screen import Screen

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.text import clean, format_size
from codex_tui.runs import changes, cleanup
from codex_tui.runs.engine_reason import name_place_of_run
from codex_tui.runs.facts import MAX_NOTE, tidy_note
from codex_tui.runs.summary import RunSummary, measure_folder, summarise
from codex_tui.ui.kit.dialogs import Ask, ConfirmDeletion
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory

# Call these functions in a Textual worker, since they wait for the answers to dialogs.


async def rename(screen: Screen[None], run: RunDirectory) -> str | None:
    """Ask for a new name of `run`. Returns it, or None if the run keeps its name."""

    def check(name: str) -> str:
        try:
            changes.check_name(name.strip())
        except BadInput as error:
            return "" if name.strip() == run.name else f"{error.message} {error.hint}"
        return ""

    try:
        changes.refuse_if_live(run)
        name = await screen.app.push_screen_wait(Ask("Rename the run", "Its new name:", "rename", run.name, check))
        if name is None or name == run.name:
            return None
        return (await asyncio.to_thread(changes.rename_run, run, name)).name
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return None


async def annotate(screen: Screen[None], summary: RunSummary) -> None:
    def check(text: str) -> str:
        length = len(tidy_note(text))
        return f"{length} of {MAX_NOTE} characters." if length > MAX_NOTE else ""

    ask = Ask(
        "Note", "What you want to remember about this run. An empty note is deleted.", "save", summary.note, check
    )
    text = await screen.app.push_screen_wait(ask)
    if text is not None:
        try:
            await asyncio.to_thread(changes.write_note, RunDirectory(summary.path), text)
        except CodexError as error:
            screen.post_message(Trouble(error.message, error.hint))


async def delete(screen: Screen[None], run: RunDirectory) -> bool:
    """Ask whether to delete `run`. Returns whether it was deleted."""
    try:
        changes.refuse_if_live(run)
        size = format_size(await asyncio.to_thread(measure_folder, run.path))
        text = f"{run.name}: its adapter, checkpoints, events and log. This frees {size} and can't be undone."
        if run.is_mirror():
            everywhere = f"codex-tui runs rm {run.name} --everywhere"
            text += f"\n\nIts files on {clean(name_place_of_run(run))} stay. To delete both: {everywhere}"
        if await screen.app.push_screen_wait(ConfirmDeletion("Delete the run?", text, "keep it")):
            freed = await asyncio.to_thread(changes.delete_run, run)
            screen.notify(f"Deleted {run.name}: {format_size(freed)} freed.", markup=False)
            return True
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
    return False


async def clean_up(screen: Screen[None], run: RunDirectory) -> None:
    try:
        changes.refuse_if_live(run)
        screen.notify("Checking the checkpoints …", timeout=2, markup=False)
        unneeded = await asyncio.to_thread(lambda: cleanup.find_unneeded(run, summarise(run)))
        if not unneeded.folders:
            screen.notify("No checkpoint can go: a resume or a chat needs each of them.", markup=False)
            return
        text = f"{unneeded.describe()}. This frees {format_size(unneeded.size)} and can't be undone."
        if await screen.app.push_screen_wait(ConfirmDeletion("Delete these checkpoints?", text, "keep them")):
            deleted = await asyncio.to_thread(cleanup.delete_unneeded, run, summarise)
            screen.notify(f"{format_size(deleted.size)} freed.", markup=False)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
