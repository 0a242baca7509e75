"""What the editor says of the picked field: what it costs and buys, what it takes, and what it would be else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line

if TYPE_CHECKING:
    from codex_tui.profiles.fields import Field
    from codex_tui.profiles.resolve import Resolved


def about(field: Field, resolved: Resolved, roomy: bool) -> Iterator[Content]:
    """`roomy`: there is height for all of it; else the essence comes first."""
    from codex_tui.profiles.resolve import NOT_INHERITED
    from codex_tui.profiles.schema import tables

    schema = field.schema
    yield line((schema.name, STRONG), (f"   [{schema.table}]" if schema.table else "", MUTED))
    yield Content(schema.text)
    if roomy:
        yield Content("")
    unit = f", in {schema.unit}" if schema.unit else ""
    yield line(("takes ", MUTED), ", ".join([schema.type, *schema.limits]) + unit)
    state = "changed, not saved" if field.changed else "set in this file" if field.own else "inherited"
    facts = [line(("here ", MUTED), state + ("; Del unsets it" if field.own else ""))]
    if schema.path not in NOT_INHERITED:
        if resolved.parent:
            facts.insert(0, line((f"{clean(resolved.parent.stem)} ", MUTED), _shown(field.inherited, "unset")))
        facts.insert(0, line(("default ", MUTED), _shown(schema.default, "none" if schema.required else "unset")))
    if not roomy:
        yield Content("   ").join(facts)
        return
    yield from facts
    if schema.table:
        yield Content("")
        yield line((f"{schema.table}: ", ACCENT), (tables()[schema.table], MUTED))


def _shown(value: object, missing: str) -> str:
    from codex_tui.profiles.literals import display_value

    return missing if value is None else clean(display_value(value)) or '""'
