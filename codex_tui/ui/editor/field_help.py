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

    knob = field.knob
    yield line((knob.name, STRONG), (f"   [{knob.table}]" if knob.table else "", MUTED))
    yield Content(knob.text)
    if roomy:
        yield Content("")
    unit = f", in {knob.unit}" if knob.unit else ""
    yield line(("takes ", MUTED), ", ".join([knob.type, *knob.limits]) + unit)
    state = "changed, not saved" if field.changed else "set in this file" if field.own else "inherited"
    facts = [line(("here ", MUTED), state + ("; Del unsets it" if field.own else ""))]
    if knob.path not in NOT_INHERITED:
        if resolved.parent:
            facts.insert(0, line((f"{clean(resolved.parent.stem)} ", MUTED), _shown(field.inherited, "unset")))
        facts.insert(0, line(("default ", MUTED), _shown(knob.default, "none" if knob.required else "unset")))
    if not roomy:
        yield Content("   ").join(facts)
        return
    yield from facts
    if knob.table:
        yield Content("")
        yield line((f"{knob.table}: ", ACCENT), (tables()[knob.table], MUTED))


def _shown(value: object, missing: str) -> str:
    from codex_tui.profiles.literals import display_value

    return missing if value is None else clean(display_value(value)) or '""'
