"""Copies a judged question with both answers."""

from __future__ import annotations

from textual.widget import Widget

from codex_tui.base.text import clean_text
from codex_tui.ui.judge.entry import name_sides
from training.contract.judgement import JudgedQuestion, Judgement


def copy_question(widget: Widget, judgement: Judgement, judged: JudgedQuestion) -> None:
    """Copy the question, both answers and the reference to the clipboard, and say so."""
    adapter, other = name_sides(judgement)
    parts = [("question", judged.question.text), (other, judged.other.answer.text)]
    parts.append((adapter, judged.adapter.answer.text))
    if judged.question.reference:
        parts.append(("reference", judged.question.reference))
    widget.app.copy_to_clipboard("\n\n".join(f"{name}: {clean_text(text.strip())}" for name, text in parts))
    widget.notify("The question and both answers are copied.", markup=False)
