"""Converts the text that a person types into a field to a TOML value, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from codex_tui.base.text import clean
from codex_tui.base.toml import TomlError, format_literal, parse_value
from codex_tui.base.toml_positions import find_positions
from codex_tui.profiles.schema import FieldSchema

_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+")


def format_value(value: Any) -> str:
    """Format `value` as a person types it: text without quotes if it needs none, a list with commas, None as ""."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if _can_be_unquoted(value) else format_literal(value)
    if isinstance(value, list | tuple):
        parts = [format_value(part) for part in value]
        plain = value and all(
            isinstance(part, str) and part == text and "," not in text and text[0] != "["
            for part, text in zip(value, parts, strict=True)
        )
        return ", ".join(parts) if plain else format_literal(value)
    return format_literal(value)


def parse_input(schema: FieldSchema, text: str) -> str | None:
    """Return the TOML value that `text` means for this field, or None to unset it. A number field accepts any text
    here; the validation then explains the error."""
    text = text.strip()
    if not text:
        return None
    for choice in schema.choices:
        if text == format_value(choice):
            return format_literal(choice)
    if {"integer", "number"} & {*schema.kinds}:
        number = text.replace(",", "") if _GROUPED.fullmatch(text) else text
        if isinstance(_parse_or_none(number), int | float):
            return number
        try:
            return format_literal(float(number))
        except ValueError:
            pass
    if "array" in schema.kinds:
        if isinstance(_parse_or_none(text), list):
            return text
        parts = [part for each in text.split(",") if (part := each.strip())]
        if schema.items != "integer":
            return format_literal(parts)
        if all(part.isdecimal() for part in parts):
            return format_literal([int(part) for part in parts])
    return text if text[0] in "\"'" and isinstance(_parse_or_none(text), str) else format_literal(text)


def insert_pasted(kinds: Sequence[str], before: str, pasted: str, after: str) -> str:
    """Return the input of a field after `pasted` was inserted between `before` and `after`.

    Several lines become the items of a list, or a quoted text with line breaks, as the field takes it. `kinds` are the
    JSON types that it takes.
    """
    lines = pasted.splitlines()
    if len(lines) > 1 and "array" in kinds:
        return before + ", ".join(line.strip().rstrip(",") for line in lines if line.strip()) + after
    if len(lines) > 1 and "string" in kinds:
        text = "\n".join(lines)
        is_quoted = before.lstrip().startswith('"')
        return f"{before}{format_literal(text)[1:-1]}{after}" if is_quoted else format_literal(before + text + after)
    return before + clean(" ".join(line.strip() for line in lines)) + after


def _parse_or_none(text: str) -> Any:
    """Return the value if `text` is one TOML value and nothing more, else None."""
    try:
        value = parse_value(text)
    except TomlError:
        return None
    line = f"value = {text}"
    return value if find_positions(line).entries["value"].end == len(line) else None  # a comment may follow it


def _can_be_unquoted(text: str) -> bool:
    """Return whether `text` without quotes would be read back as itself."""
    return bool(text) and text == text.strip() and text[0] not in "\"'" and text.isprintable()
