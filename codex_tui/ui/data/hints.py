"""The key hints in the last row of the data screen."""

from __future__ import annotations

from codex_tui.data.filter import KINDS
from codex_tui.data.view import DataView
from codex_tui.ui.kit.hints import Hint


def list_hints(
    view: DataView, pane: str, question: str, on_row: bool, alone: bool, leads_back: bool, measures: bool
) -> list[Hint]:
    """Lists the keys that work now.

    `question` is the question of the prompt bar, or "". `on_row` says that the row has the focus, `alone` that the
    screen has room for only the row or only the list, `leads_back` that Escape leads to another screen, and `measures`
    that the rows are measured now.
    """
    if question == "search":
        return [("Enter", "keep filter"), ("Esc", "all rows")]
    if question:
        return [("Enter", "go"), ("Esc", "cancel")]
    if not view.rows.count and view.rows.complete:
        return [("Esc", "back")] if leads_back else []
    keys: list[Hint] = [("Esc", "list"), ("← →", "rows"), ("↑ ↓", "scroll")] if on_row else [("Enter", "read")]
    if view.target.run and view.rows.kind != "worst":
        keys += [("w", "X-ray")]
    elif view.can_measure and not measures:
        keys += [("x", "measure")]
    if on_row or not alone:
        keys += [("1-5" if view.target.run else "1-4", "views")]
        keys += [("i", "ids")] if pane == "tokens" else [("i", "losses")] if pane == "xray" else []
        keys += [("[ ]", "length")] if view.target.profile else []
        keys += [("Bksp", "profile's length")] if view.limit != view.own_limit else []
    keys += [("m", "lengths")] if view.target.profile else []
    if not on_row or not alone:
        keys += [("/", "search"), ("g", "go to"), ("f", "filter")]
        keys += [(kind[0], kind) for kind in KINDS if kind != view.rows.kind]
    keys += [("e", "edit profile")] if view.target.path else []
    keys += [("Esc", "back")] if leads_back and not on_row else []
    return keys
