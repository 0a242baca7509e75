"""Opens the lengths screen above the data screen, which counts the tokens for it."""

from __future__ import annotations

from codex_tui.base.progress import Progress, ProgressTracker
from codex_tui.data.check import CountedRows, TokenCount
from codex_tui.data.view import DataView
from codex_tui.ui.data.edit import is_shipped

WORKS = ("tokenising", "scanning", "indexing")


def describe_count(view: DataView) -> TokenCount:
    """Describes how far the tokens of the rows are counted."""
    states, reader = view.rows.states, view.reader
    if view.target.profile is None:
        return TokenCount(
            reason="Each length is compared for a profile: its model counts the tokens.",
            hint="codex-tui data view FILE --profile P",
        )
    if states and states.lengths:
        return TokenCount(CountedRows(states.scan, states.lengths))
    error = reader.error if reader else None
    reason, hint = view.rows.error or ((error.message, error.hint) if error else view.no_tokens)
    if reason:
        return TokenCount(reason=reason, hint=hint)
    if name := next((name for name in WORKS if name in view.works), None):
        return TokenCount(work=view.works[name], by_key=name == "tokenising")
    if reader is None or reader.status == "loading":
        return TokenCount(work=ProgressTracker(Progress("loading the tokenizer")))
    return TokenCount(reason="The tokens have not been counted.", hint="Press t to count them.", by_key=True)


def name_purpose(view: DataView) -> str:
    """Says what the lengths screen does with the picked length; "" for a run, which keeps its profile."""
    path = view.target.path
    return "" if path is None else "edit a copy" if is_shipped(path) else "save it"
