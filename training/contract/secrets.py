"""Finds tokens of the Hugging Face Hub. Libraries put tokens into the URLs of their error messages."""

from __future__ import annotations

import re

_HUB_TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")


def has_token(text: str) -> bool:
    return bool(_HUB_TOKEN.search(text))


def redact_tokens(text: str) -> str:
    return _HUB_TOKEN.sub("hf_…", text)
