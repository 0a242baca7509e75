"""The texts of the editor's title in the first row, and of its key hints in the last row."""

from __future__ import annotations

from textual.content import Content

from codex_tui.base.text import clean
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.fields import Field
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.hints import Hint

WHILE_TYPING: list[Hint] = [
    ("Enter", "keep value"),
    ("Esc", "cancel"),
    ("ctrl+n", "save and launch"),
    ("↑ ↓", "keep and move"),
]

LENGTH_FIELDS = ("model.max_seq_length", "dataset.long_rows")


def draw_title(draft: Draft, conflict: bool) -> Content:
    """Draws the state of the draft. The most important part comes first, because a narrow row is cut at its end."""
    count, parent = len(draft.resolved.problems), draft.resolved.parent
    changed = f"● {len(draft.changed) or ''} changed".replace("  ", " ")
    parts = [
        line(("✗ changed on disk; press s to resolve", "bold $error")) if conflict else None,
        line((f"✗ {count} problem{'s' if count > 1 else ''}", "bold $error")) if count else None,
        line((changed, "bold $warning")) if draft.dirty else None,
        line(("new, not saved", MUTED)) if draft.is_new else None,
        line((f"extends {clean(parent.stem)}", MUTED)) if parent else None,
    ]
    return Content(" · ").join([part for part in parts if part is not None])


def list_hints(field: Field, draft: Draft, has_remedies: bool) -> list[Hint]:
    """Lists the keys that work for the picked field and the draft."""
    keys: list[Hint] = [("Enter", "edit") if field.schema.kinds else ("Enter", "next")]
    keys += [("← →", "choose")] if len(field.choices) > 1 else []
    keys += [("Del", "remove")] if field.own else []
    keys += [("s", "save"), ("n", "save and launch")] if draft.dirty else [("n", "launch")]
    keys += [("u", "undo")] if draft.can_undo else []
    keys += [("m", "compare lengths")] if field.schema.path in LENGTH_FIELDS else []
    keys += [("r", "suggestions")] if has_remedies else []
    return [*keys, ("c", "compare"), ("/", "find"), ("S", "save as"), ("D", "duplicate"), ("Esc", "back")]
