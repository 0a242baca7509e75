"""The themes on a terminal with 16 colours: each text can be read on each background."""

from __future__ import annotations

from itertools import product

import pytest
from rich.color import Color, ColorSystem
from textual.color import Color as Rgb
from textual.theme import Theme

from codex_tui.ui.themes import DARK, LIGHT, for_16_colours

TEXTS = ("foreground", "primary", "success", "warning", "error", "text-muted", "text-disabled")
BACKGROUNDS = ("background", "surface", "panel")


def show(theme: Theme, name: str) -> Rgb:
    """The colour that a terminal with 16 colours shows."""
    value = theme.to_color_system().generate()[name]
    red, green, blue = Color.parse(Rgb.parse(value).hex6).downgrade(ColorSystem.STANDARD).get_truecolor()
    return Rgb(red, green, blue)


def contrast(one: Rgb, other: Rgb) -> float:
    """The ratio of WCAG: 1 for equal colours, 21 for black and white."""

    def luminance(colour: Rgb) -> float:
        parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_each_text_can_be_read_in_16_colours(theme: Theme) -> None:
    shown = for_16_colours(theme)
    assert shown.name == theme.name and shown.dark == theme.dark
    contrasts = {
        (text, ground): contrast(show(shown, text), show(shown, ground)) for text, ground in product(TEXTS, BACKGROUNDS)
    }
    assert min(contrasts.values()) >= 3, contrasts
