"""Copies a model's answer, so that a person can use it elsewhere."""

from __future__ import annotations

from textual.widget import Widget

from codex_tui.base.text import clean_text, pluralize


def copy_answer(widget: Widget, answer: str) -> None:
    """Copy `answer` to the clipboard, and say how long it is."""
    text = clean_text(answer.strip())
    widget.app.copy_to_clipboard(text)
    widget.notify(f"{pluralize(len(text), 'character')} of the answer are copied.", markup=False)
