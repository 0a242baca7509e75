"""The two themes, dark and light. All colours are from the 256 colours that every terminal has, so they look the same
over SSH, where COLORTERM is often missing."""

from __future__ import annotations

from typing import Any

from textual.theme import Theme

MAX_CURVES = 8
"""The number of curves that one chart can tell apart. The theme variables curve-1 to curve-8 are their colours."""


def name_curve_colours(*colours: str) -> dict[str, str]:
    """Return the theme variables with the colours of the curves."""
    return {f"curve-{number}": colour for number, colour in enumerate(colours, 1)}


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
        **name_curve_colours("#5fafff", "#d7af5f", "#87d75f", "#ff87d7", "#ff875f", "#5fd7d7", "#af87ff", "#d0d0d0"),
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
        **name_curve_colours("#005faf", "#af5f00", "#008700", "#af0087", "#d70000", "#008787", "#5f00af", "#303030"),
    },
)


def for_16_colours(theme: Theme) -> Theme:
    """Returns `theme` for a terminal with 16 colours, where it would show red or grey text on grey.

    All text is on the background.
    """
    colours = _DARK_16 if theme.dark else _LIGHT_16
    background, text = colours["background"], colours["foreground"]
    variables = {
        "rule": colours["secondary"],
        "text-muted": text,
        "text-disabled": text,
        "input-cursor-background": text,
        "input-cursor-foreground": background,
        "input-selection-background": colours["secondary"],
        **name_curve_colours(*(_CURVES_ON_BLACK if theme.dark else _CURVES_ON_WHITE)),
    }
    return Theme(theme.name, dark=theme.dark, surface=background, panel=background, variables=variables, **colours)


# Each is one of the 16 colours that Rich knows, so that it stays as it is.
_DARK_16: dict[str, Any] = {
    "background": "#000000", "foreground": "#aaaaaa", "primary": "#55ffff", "accent": "#55ffff",
    "secondary": "#aaaaaa", "success": "#55ff55", "warning": "#ffff55", "error": "#ff5555",
}  # fmt: skip
_LIGHT_16: dict[str, Any] = {
    "background": "#ffffff", "foreground": "#000000", "primary": "#0000aa", "accent": "#0000aa",
    "secondary": "#aaaaaa", "success": "#00aa00", "warning": "#aa00aa", "error": "#aa0000",
}  # fmt: skip
_CURVES_ON_BLACK = ("#55ffff", "#ffff55", "#55ff55", "#ff55ff", "#ff5555", "#ffffff", "#5555ff", "#aaaaaa")
_CURVES_ON_WHITE = ("#0000aa", "#aa0000", "#00aa00", "#aa00aa", "#00aaaa", "#000000", "#aa5500", "#555555")
