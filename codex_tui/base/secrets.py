"""Tokens and passwords: none belongs in a profile, and none is ever shown."""

from __future__ import annotations

import re
from typing import Any

NO_SECRETS = "a token does not belong in a profile; set HF_TOKEN in the environment, or run: hf auth login"

_HUB_TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")
_NAME = r"(?:token|api[_-]?key|password|secret)"
_SECRET_NAME = re.compile(rf"(?:.*[_.-])?{_NAME}", re.IGNORECASE)
_SET = re.compile(rf"""{_NAME}["']?\s*=\s*(?=["'\[{{])""", re.IGNORECASE)
# What a value is made of, whole or broken off: texts, comments, brackets, and what is between them.
_PIECE = re.compile(
    r""""{3}(?:[^\\]|\\.?)*?(?:"{3,5}|\Z)|"(?:[^"\\\n]|\\[^\n]?)*"?|"""
    r"""'{3}.*?(?:'{3,5}|\Z)|'[^'\n]*'?|#[^\n]*|[\[{]|[\]}]|[^\[\]{}"'#]+""",
    re.DOTALL,
)


def is_secret(name: str, value: Any) -> bool:
    """Whether a field's text looks like a token, or its name says that it is one."""
    return isinstance(value, str) and bool(_HUB_TOKEN.search(value) or _SECRET_NAME.fullmatch(name))


def has_token(text: str) -> bool:
    return bool(_HUB_TOKEN.search(text))


def redact(text: str) -> str:
    """Replaces each part of `text` that looks like a secret."""
    text = _HUB_TOKEN.sub("hf_…", text)
    kept, at = "", 0
    while found := _SET.search(text, at):
        kept += text[at : found.end()] + '"…"'
        at = _end_of_value(text, found.end())
    return kept + text[at:]


def _end_of_value(text: str, at: int) -> int:
    depth = 0
    while piece := _PIECE.match(text, at):
        at = piece.end()
        depth += (piece[0] in "[{") - (piece[0] in "]}")
        if depth <= 0:
            break
    return at
