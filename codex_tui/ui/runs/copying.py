"""Copies what a person needs to use the adapter of a run elsewhere: the Python lines of its card, and the command that
sends it to the Hub."""

from __future__ import annotations

from textual.widget import Widget

from codex_tui.base.text import clean, clean_text
from codex_tui.runs.facts import read_row_form
from training.contract.card_usage import format_usage
from training.contract.run_directory import RunDirectory


def copy_python(widget: Widget, run: RunDirectory) -> None:
    """Copy the lines to the clipboard and say so, or say why there are none."""
    if not _has_adapter(widget, run):
        return
    form = read_row_form(run)
    lines = format_usage("adapter", str(run.adapter), form.system_prompt, is_text=form.text)
    widget.app.copy_to_clipboard(clean_text(lines))
    widget.notify("The Python lines are copied. They need transformers and peft.", markup=False)


def copy_push(widget: Widget, run: RunDirectory) -> None:
    """Copy the command to the clipboard and say so, or say why there is none."""
    if not _has_adapter(widget, run):
        return
    command = f"codex-tui push {clean(run.name)} OWNER/NAME"
    widget.app.copy_to_clipboard(command)
    widget.notify(f"Copied: {command}. Put your name on the Hub for OWNER.", markup=False)


def _has_adapter(widget: Widget, run: RunDirectory) -> bool:
    if run.has_adapter():
        return True
    widget.notify(f"{clean(run.name)} has no adapter yet.", markup=False)
    return False
