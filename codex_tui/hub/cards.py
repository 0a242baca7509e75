"""Writes the card (README.md) of a pushed dataset, and the licence of any card.

`training.contract.model_card` writes the card of an adapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from training.contract.card_text import escape_text, format_part, format_table, put_part

_FRONT = re.compile(r"\A---\r?\n(.*?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LICENCE = re.compile(r"^license:.*$", re.MULTILINE)
_LICENCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNKNOWN_LICENCE = "license: unknown # to fill in: an identifier such as cc-by-4.0 or mit"


def is_licence(text: str) -> bool:
    """Whether `text` has the form of a licence identifier, such as cc-by-4.0."""
    return bool(_LICENCE_ID.fullmatch(text))


@dataclass(frozen=True)
class FileContent:
    """The content of a data file. `bad` is the number of unusable rows. `shape` is None if all rows are unusable."""

    rows: int
    bad: int
    shape: str | None
    used: tuple[str, ...]
    ignored: tuple[str, ...]


def make_dataset_card(
    old: str, repo: str, name: str, sha256: str, size: int, content: FileContent, licence: str | None
) -> str:
    """Return the card `old` with the part about the file `name` added or replaced. An empty `old` makes a new card."""
    facts = {
        "rows": f"{content.rows:,}",
        "rows that can't be used for training": f"{content.bad:,}" if content.bad else "none",
        "shape": content.shape or "unknown",
        "columns": _join_names(content.used),
        "columns not used": _join_names(content.ignored),
        "bytes": f"{size:,}",
        "sha256": f"`{sha256}`",
    }
    key = {"file": name, "rows": content.rows, "sha256": sha256}
    part = format_part("file", key, f"## {escape_text(name)}\n\n{format_table(facts)}")
    if not old.strip():
        old = (
            f"---\n{UNKNOWN_LICENCE}\ntags:\n- codex-tui\n---\n\n# {repo.partition('/')[2]}\n\n{part}\n\n"
            "## Licence\n\nNot set yet. Set `license` at the top of this file.\n"
        )
    return set_licence(put_part(old, part, "file", name), licence)


def find_rows_on_card(card: str, name: str, sha256: str) -> int | None:
    """Find the number of rows of the file `name` on `card`. Returns None if its `sha256` is not on the card."""
    for match in re.finditer(r"^<!-- codex-tui:file (\{.*\}) -->$", card, re.MULTILINE):
        try:
            key = json.loads(match[1])
        except (ValueError, RecursionError):
            continue
        if key.get("file") == name and key.get("sha256") == sha256 and isinstance(key.get("rows"), int):
            return int(key["rows"])
    return None


def set_licence(card: str, licence: str | None) -> str:
    """Set `licence` (an identifier) in the front matter of `card`. None leaves the card unchanged."""
    if licence is None:
        return card
    line, front = f"license: {licence}", _FRONT.match(card)
    if front is None:
        return f"---\n{line}\n---\n\n{card}"
    inside = front[1] or ""
    inside = _LICENCE.sub(line, inside, count=1) if _LICENCE.search(inside) else f"{line}\n{inside}"
    return f"---\n{inside}---\n{card[front.end() :]}"


def _join_names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
