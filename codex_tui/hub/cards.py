"""Writes the card (README.md) of a pushed dataset or adapter. On an existing card, only our own parts are replaced.

Each part is between two comments. The first has facts for programs as JSON: `<!-- codex-tui:file {…} -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codex_tui.base import locations
from codex_tui.base.secrets import redact
from codex_tui.base.text import clean

END = "<!-- codex-tui:end -->"
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
    part = _format_part("file", key, f"## {_escape_text(name)}\n\n{_format_table(facts)}")
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


@dataclass(frozen=True)
class TrainedRun:
    """The facts of a model card, formatted for display. `base` is a repository of the Hub if `base_is_repo`."""

    run: str
    base: str
    base_is_repo: bool
    results: Mapping[str, str]
    dataset: Mapping[str, str]
    profile: str  # TOML
    stack: Mapping[str, str]


def make_model_card(old: str, repo: str, trained: TrainedRun, licence: str | None) -> str:
    """Return the card `old` with the part about the adapter added or replaced. An empty `old` makes a new card."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", trained.profile)), default=0))
    part = _format_part(
        "adapter",
        {"run": trained.run},
        f"A LoRA adapter for `{_escape_text(trained.base)}`, trained with Codex TUI.\n\n"
        f"## Result\n\n{_format_table(trained.results)}\n\n"
        f"## Dataset\n\n{_format_table(trained.dataset)}\n\n"
        f"## Profile\n\n{fence}toml\n{clean(redact(trained.profile), newlines=True).strip()}\n{fence}\n\n"
        f"## Trained with\n\n{_format_table(trained.stack)}",
    )
    if not old.strip():
        front = [*([f"base_model: {json.dumps(trained.base)}"] if trained.base_is_repo else []), "library_name: peft"]
        front += ["pipeline_tag: text-generation", "tags:", *(f"- {tag}" for tag in ("lora", "sft", "trl", "unsloth"))]
        old = "\n".join(("---", *front, "- codex-tui", "---", "", f"# {repo.partition('/')[2]}", "", part, ""))
    return set_licence(put_part(old, part, "adapter", None), licence)


def put_part(card: str, part: str, kind: str, name: str | None) -> str:
    """Replace the part of the same kind (and the same file `name`) with `part`, or add it at the end."""
    for match in re.finditer(rf"<!-- codex-tui:{kind} (\{{[^\n]*\}}) -->.*?{re.escape(END)}", card, re.DOTALL):
        try:
            if name is None or json.loads(match[1]).get("file") == name:
                return card[: match.start()] + part + card[match.end() :]
        except (ValueError, RecursionError, AttributeError):
            continue
    return f"{card.rstrip()}\n\n{part}\n"


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


def hide_home(text: str) -> str:
    """Replace the home folder in `text` by ~, because it may contain the person's name."""
    home = str(locations.find_user_home())
    return re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text


def _format_part(kind: str, key: dict[str, Any], body: str) -> str:
    # Escape ">", so that no file name can end the comment.
    facts = json.dumps(key, ensure_ascii=True).replace(">", "\\u003e")
    return f"<!-- codex-tui:{kind} {facts} -->\n{body}\n{END}"


def _format_table(facts: Mapping[str, str]) -> str:
    return "\n".join(
        ("| | |", "|---|---|", *(f"| {_escape_cell(key)} | {_escape_cell(value)} |" for key, value in facts.items()))
    )


def _escape_cell(text: str) -> str:
    return clean(text).replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _escape_text(text: str) -> str:
    return clean(text).replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


def _join_names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
