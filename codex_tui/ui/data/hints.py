"""Which keys the data screen's last row names: those that do something here and now."""

from __future__ import annotations

from codex_tui.data.filter import KINDS
from codex_tui.data.view import DataView
from codex_tui.ui.kit.hints import Hint


def hints(view: DataView, pane: str, asking: str, on_row: bool, alone: bool, leads_back: bool) -> list[Hint]:
    """`on_row`: the row has the focus; `alone`: it and the list are not seen together."""
    if asking == "search":
        return [("Enter", "keep"), ("Esc", "all rows")]
    if asking:
        return [("Enter", "go"), ("Esc", "leave")]
    if not view.rows.count and view.rows.complete:
        return [("Esc", "back")] if leads_back else []
    found: list[Hint] = [("Esc", "list"), ("← →", "rows"), ("↑ ↓", "scroll")] if on_row else [("Enter", "read")]
    if on_row or not alone:
        found += [("1-4", "views")]
        found += [("i", "ids")] if pane == "tokens" else []
        found += [("[ ]", "length")] if view.target.profile else []
        found += [("Bksp", "the profile's")] if view.limit != view.own_limit else []
    if not on_row or not alone:
        found += [("/", "search"), ("g", "go to"), ("f", "filter")]
        found += [(kind[0], kind) for kind in KINDS if kind != view.rows.kind]
    found += [("e", "edit profile")] if view.target.path else []
    found += [("Esc", "back")] if leads_back and not on_row else []
    return found
