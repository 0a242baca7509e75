"""The cards (README.md) of what is pushed. On a card that is there already, only our own part is replaced.

Each part stands between two comments; the first says the same for programs: `<!-- codex-tui:file {…} -->`.
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
TO_FILL = "license: unknown # to fill in: an identifier such as cc-by-4.0 or mit"


def is_licence(text: str) -> bool:
    return bool(_LICENCE_ID.fullmatch(text))


@dataclass(frozen=True)
class Content:
    """What a data file holds. `shape` None: no row of it can be learned from."""

    rows: int
    bad: int
    shape: str | None
    used: tuple[str, ...]
    ignored: tuple[str, ...]


def dataset_card(old: str, repo: str, name: str, sha256: str, size: int, content: Content, licence: str | None) -> str:
    """The card `old` with the part on the file `name` put in, or a new one."""
    facts = {
        "rows": f"{content.rows:,}",
        "rows that can't be learned from": f"{content.bad:,}" if content.bad else "none",
        "shape": content.shape or "unknown",
        "columns": _names(content.used),
        "columns not used": _names(content.ignored),
        "bytes": f"{size:,}",
        "sha256": f"`{sha256}`",
    }
    key = {"file": name, "rows": content.rows, "sha256": sha256}
    part = _part("file", key, f"## {_plain(name)}\n\n{_table(facts)}")
    if not old.strip():
        old = (
            f"---\n{TO_FILL}\ntags:\n- codex-tui\n---\n\n# {repo.partition('/')[2]}\n\n{part}\n\n"
            "## Licence\n\nNot said yet: name one at the top of this file, as `license`.\n"
        )
    return with_licence(with_part(old, part, "file", name), licence)


def rows_on_card(card: str, name: str, sha256: str) -> int | None:
    """The number of rows that `card` tells of the file `name`, where it tells of these very bytes."""
    for found in re.finditer(r"^<!-- codex-tui:file (\{.*\}) -->$", card, re.MULTILINE):
        try:
            key = json.loads(found[1])
        except (ValueError, RecursionError):
            continue
        if key.get("file") == name and key.get("sha256") == sha256 and isinstance(key.get("rows"), int):
            return int(key["rows"])
    return None


@dataclass(frozen=True)
class Trained:
    """What a model card tells. `base` is a repository where `base_is_repo`; figures are as they are shown."""

    run: str
    base: str
    base_is_repo: bool
    results: Mapping[str, str]
    dataset: Mapping[str, str]
    profile: str  # TOML
    stack: Mapping[str, str]


def model_card(old: str, repo: str, trained: Trained, licence: str | None) -> str:
    """The card `old` with the part on the adapter put in, or a new one."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", trained.profile)), default=0))
    part = _part(
        "adapter",
        {"run": trained.run},
        f"A LoRA adapter for `{_plain(trained.base)}`, trained with Codex TUI.\n\n"
        f"## Result\n\n{_table(trained.results)}\n\n"
        f"## Dataset\n\n{_table(trained.dataset)}\n\n"
        f"## Profile\n\n{fence}toml\n{clean(redact(trained.profile), newlines=True).strip()}\n{fence}\n\n"
        f"## Trained with\n\n{_table(trained.stack)}",
    )
    if not old.strip():
        front = [*([f"base_model: {json.dumps(trained.base)}"] if trained.base_is_repo else []), "library_name: peft"]
        front += ["pipeline_tag: text-generation", "tags:", *(f"- {tag}" for tag in ("lora", "sft", "trl", "unsloth"))]
        old = "\n".join(("---", *front, "- codex-tui", "---", "", f"# {repo.partition('/')[2]}", "", part, ""))
    return with_licence(with_part(old, part, "adapter", None), licence)


def with_part(card: str, part: str, kind: str, name: str | None) -> str:
    """`card` with `part` in place of the one of the same kind (and file `name`), or at its end."""
    for found in re.finditer(rf"<!-- codex-tui:{kind} (\{{[^\n]*\}}) -->.*?{re.escape(END)}", card, re.DOTALL):
        try:
            if name is None or json.loads(found[1]).get("file") == name:
                return card[: found.start()] + part + card[found.end() :]
        except (ValueError, RecursionError, AttributeError):
            continue
    return f"{card.rstrip()}\n\n{part}\n"


def with_licence(card: str, licence: str | None) -> str:
    """`card` with `licence` (an identifier) in its front matter; None leaves it as it is."""
    if licence is None:
        return card
    line, front = f"license: {licence}", _FRONT.match(card)
    if front is None:
        return f"---\n{line}\n---\n\n{card}"
    inside = front[1] or ""
    inside = _LICENCE.sub(line, inside, count=1) if _LICENCE.search(inside) else f"{line}\n{inside}"
    return f"---\n{inside}---\n{card[front.end() :]}"


def home_hidden(text: str) -> str:
    """`text` without the name of whose machine it was."""
    home = str(locations.find_user_home())
    return re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text


def _part(kind: str, key: dict[str, Any], body: str) -> str:
    # With its ">" escaped, no name can end the comment.
    told = json.dumps(key, ensure_ascii=True).replace(">", "\\u003e")
    return f"<!-- codex-tui:{kind} {told} -->\n{body}\n{END}"


def _table(facts: Mapping[str, str]) -> str:
    return "\n".join(("| | |", "|---|---|", *(f"| {_cell(key)} | {_cell(value)} |" for key, value in facts.items())))


def _cell(text: str) -> str:
    return clean(text).replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> str:
    return clean(text).replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
