"""Tokens and passwords: none belongs in a profile, and none is ever shown."""

from __future__ import annotations

import re
from typing import Any

from training.contract.secrets import has_token, redact_tokens

NO_SECRETS = "a token does not belong in a profile; set HF_TOKEN in the environment, or run: hf auth login"

_NAME = r"(?:token|api[_-]?key|password|secret)"
_SECRET_NAME = re.compile(rf"(?:.*[_.-])?{_NAME}", re.IGNORECASE)
# A secret that is set to a text or a list. One that can go on over several lines is hidden up to the end of everything,
# any other up to the end of its line: where exactly it ends is not known in a text that may be damaged.
_SET_SECRET = re.compile(
    rf"""({_NAME}["']?\s*=\s*)(?:(?:\[|\{{|"{{3}}|'{{3}})(?s:.*)|["'][^\r\n]*)""",
    re.IGNORECASE,
)


def is_secret(name: str, value: Any) -> bool:
    """Whether the value looks like a token, or the name says that the value is a secret."""
    return isinstance(value, str) and (has_token(value) or bool(_SECRET_NAME.fullmatch(name)))


def redact(text: str) -> str:
    """`text` without what looks like a secret."""
    return _SET_SECRET.sub(r'\1"…"', redact_tokens(text))
