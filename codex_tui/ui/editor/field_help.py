"""The editor's help for the picked field: its meaning, its allowed values, and where its value comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line

if TYPE_CHECKING:
    from codex_tui.profiles.fields import Field
    from codex_tui.profiles.resolve import Resolved


def describe_field(field: Field, resolved: Resolved, roomy: bool) -> Iterator[Content]:
    """Describes a field in lines. If the pane is not `roomy`, puts the facts on one line and leaves out the rest."""
    from codex_tui.profiles.resolve import NOT_INHERITED
    from codex_tui.profiles.schema import read_tables

    schema = field.schema
    yield line((schema.name, STRONG), (f"   [{schema.table}]" if schema.table else "", MUTED))
    yield Content(schema.text)
    if roomy:
        yield Content("")
    unit = f", in {schema.unit}" if schema.unit else ""
    yield line(("allowed ", MUTED), ", ".join([schema.type, *schema.limits]) + unit)
    facts = [line(_describe_origin(field, resolved))]
    if schema.path not in NOT_INHERITED:
        if resolved.parent:
            facts.insert(0, line(("parent ", MUTED), _format_value(field.inherited, "unset")))
        facts.insert(
            0, line(("default ", MUTED), _format_value(schema.default, "none" if schema.required else "unset"))
        )
    if not roomy:
        yield Content("   ").join(facts)
        return
    yield from facts
    if schema.table:
        yield Content("")
        yield line((f"{schema.table}: ", ACCENT), (read_tables()[schema.table], MUTED))


def _describe_origin(field: Field, resolved: Resolved) -> str:
    """Says where the value of the field comes from, and how to remove it."""
    from codex_tui.profiles.resolve import NOT_INHERITED

    removal = " Del removes it." if field.own else ""
    if field.changed:
        return f"Changed, not saved.{removal}"
    if field.own:
        return f"Set in this file.{removal}"
    if resolved.parent and field.schema.path not in NOT_INHERITED:
        return f"Inherited from {clean(resolved.parent.stem)}"
    return "Not set in this file."


def _format_value(value: object, missing: str) -> str:
    from codex_tui.profiles.literals import format_value

    return missing if value is None else clean(format_value(value)) or '""'
