"""Copies the Python lines that load the adapter of a run, as its card shows them."""

from __future__ import annotations

from textual.widget import Widget

from codex_tui.base.text import clean, clean_text
from codex_tui.runs.facts import read_row_form
from training.contract.card_usage import format_usage
from training.contract.run_directory import RunDirectory


def copy_python(widget: Widget, run: RunDirectory) -> None:
    """Copy the lines to the clipboard and say so, or say why there are none."""
    if not run.has_adapter():
        widget.notify(f"{clean(run.name)} has no adapter yet, so there is nothing to load.", markup=False)
        return
    form = read_row_form(run)
    lines = format_usage("adapter", str(run.adapter), form.system_prompt, is_text=form.text)
    widget.app.copy_to_clipboard(clean_text(lines))
    widget.notify("The Python lines are copied. They need transformers and peft.", markup=False)
