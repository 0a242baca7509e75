"""Finds tokens and passwords. None belongs in a profile, and the app never shows one."""

from __future__ import annotations

import re
from typing import Any

from training.contract.secrets import has_secret, redact_secrets

NO_SECRETS = "a token does not belong in a profile; set HF_TOKEN in the environment, or run: hf auth login"

_NAME = r"(?:token|api[_-]?key|password|secret)"
_SECRET_NAME = re.compile(rf"(?:.*[_.-])?{_NAME}", re.IGNORECASE)
# A line that sets a secret to a text or a list. The text may be damaged, so the end of the secret is not known: a value
# that can span several lines is hidden up to the end of the text, any other up to the end of its line.
_SET_SECRET = re.compile(
    rf"""({_NAME}["']?\s*=\s*)(?:(?:\[|\{{|"{{3}}|'{{3}})(?s:.*)|["'][^\r\n]*)""",
    re.IGNORECASE,
)


def is_secret(name: str, value: Any) -> bool:
    """Return whether `value` holds a token or the credentials of a URL, or `name` is a name of a secret."""
    return isinstance(value, str) and (has_secret(value) or bool(_SECRET_NAME.fullmatch(name)))


def redact(text: str) -> str:
    """Replace everything in `text` that looks like a secret."""
    return _SET_SECRET.sub(r'\1"…"', redact_secrets(text))
