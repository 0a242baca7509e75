"""Tokens and passwords: none belongs in a profile, and none is ever shown."""

from __future__ import annotations

import re
from typing import Any

NO_SECRETS = "a token does not belong in a profile; set HF_TOKEN in the environment, or run: hf auth login"

_HUB_TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")
_NAME = r"(?:token|api[_-]?key|password|secret)"
_SECRET_NAME = re.compile(rf"(?:.*[_.-])?{_NAME}", re.IGNORECASE)
_SET = re.compile(
    rf"""({_NAME}["']?\s*=\s*)(?:\"{{3}}.*?(?:\"{{3}}|\Z)|'{{3}}.*?(?:'{{3}}|\Z)|"[^"\n]*"?|'[^'\n]*'?)""",
    re.IGNORECASE | re.DOTALL,
)


def is_secret(name: str, value: Any) -> bool:
    """Whether a field's text looks like a token, or its name says that it is one."""
    return isinstance(value, str) and bool(_HUB_TOKEN.search(value) or _SECRET_NAME.fullmatch(name))


def has_token(text: str) -> bool:
    return bool(_HUB_TOKEN.search(text))


def hidden(text: str) -> str:
    """`text` with what looks like a secret taken out."""
    return _SET.sub(r'\1"…"', _HUB_TOKEN.sub("hf_…", text))
