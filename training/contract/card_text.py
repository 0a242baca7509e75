"""The Markdown of a card (README.md) on the Hub or in an adapter's folder: parts, tables and harmless text.

A card may have text of the person. So each part of ours is between two comments, and only our parts are replaced. The
first comment has facts for programs as JSON: `<!-- codex-tui:file {…} -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

CARD = "README.md"
END = "<!-- codex-tui:end -->"


def put_part(card: str, part: str, kind: str, name: str | None) -> str:
    """Replace the part of the same kind (and the same file `name`) with `part`, or add it at the end."""
    for match in re.finditer(rf"<!-- codex-tui:{kind} (\{{[^\n]*\}}) -->.*?{re.escape(END)}", card, re.DOTALL):
        try:
            if name is None or json.loads(match[1]).get("file") == name:
                return card[: match.start()] + part + card[match.end() :]
        except (ValueError, RecursionError, AttributeError):
            continue
    return f"{card.rstrip()}\n\n{part}\n"


def format_part(kind: str, key: dict[str, Any], body: str) -> str:
    # Escape ">", so that no file name can end the comment.
    facts = json.dumps(key, ensure_ascii=True).replace(">", "\\u003e")
    return f"<!-- codex-tui:{kind} {facts} -->\n{body}\n{END}"


def format_table(facts: Mapping[str, str]) -> str:
    return "\n".join(
        ("| | |", "|---|---|", *(f"| {_escape_cell(key)} | {_escape_cell(value)} |" for key, value in facts.items()))
    )


def escape_text(text: str) -> str:
    """Make `text` harmless within a line of Markdown, also between backquotes."""
    return make_printable(text).replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


def make_printable(text: str) -> str:
    """Replace every character of `text` that a terminal could obey, or that nobody sees, by a space."""
    return "".join(character if character.isprintable() else " " for character in text)


def _escape_cell(text: str) -> str:
    return make_printable(text).replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
