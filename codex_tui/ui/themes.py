"""The two themes, dark and light. All colours are from the 256 colours that every terminal has, so they look the same
over SSH, where COLORTERM is often missing."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="codex-dark",
    dark=True,
    primary="#5fafd7",
    secondary="#87afaf",
    accent="#5fafd7",
    foreground="#d0d0d0",
    background="#121212",
    surface="#1c1c1c",
    panel="#303030",
    success="#87af5f",
    warning="#d7af5f",
    error="#d7875f",
    variables={
        "rule": "#444444",
        "text-muted": "#8a8a8a",
        "input-cursor-background": "#d0d0d0",
        "input-selection-background": "#005f87",
    },
)

LIGHT = Theme(
    name="codex-light",
    dark=False,
    primary="#005f87",
    secondary="#5f8787",
    accent="#005f87",
    foreground="#303030",
    background="#eeeeee",
    surface="#e4e4e4",
    panel="#d0d0d0",
    success="#5f8700",
    warning="#875f00",
    error="#af0000",
    variables={
        "rule": "#b2b2b2",
        "text-muted": "#626262",
        "input-cursor-background": "#303030",
        "input-selection-background": "#87afd7",
    },
)
