"""Prepares the texts of a row for the screen: plain text, a huge one without its middle, split at special tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

SPECIAL_TOKEN = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")
MAX_TEXT_LENGTH = 100_000  # characters of one text on the screen
MAX_WORDS_LENGTH = 200  # characters of a row in the list


def truncate_middle(text: str) -> str:
    """Leave out the middle of a huge `text`, and say how many characters are left out."""
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    half = MAX_TEXT_LENGTH // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters are not shown …\n{text[-half:]}"


def format_plain(value: object) -> str:
    """Format a value of a row as text: messages as turns, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(_turn(turn) for turn in value):
        return "\n".join("{}: {}".format(*_turn(turn) or ()) for turn in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _turn(value: object) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return None
    role_key, text_key = ("from", "value") if "from" in value else ("role", "content")
    if text_key not in value and not value.get("tool_calls"):
        return None
    parts = [value.get(key) for key in ("reasoning_content", "thinking", text_key, "tool_calls", "function_call")]
    texts = (
        part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, default=str) for part in parts if part
    )
    return str(value.get(role_key, "")), "\n".join(texts)


def find_first_words(value: object) -> str:
    """Return the first words of a row of any shape."""
    parts: list[str] = []
    room = MAX_WORDS_LENGTH
    for text in _texts(value):
        text = " ".join(text[:MAX_WORDS_LENGTH].split())
        if text and room > 0:
            parts.append(text[:room])
            room -= len(text) + 3
        if room <= 0:
            break
    return " · ".join(parts)


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 4 and isinstance(value, dict):
        if turn := _turn(value):
            yield turn[1]
            return
        for part in value.values():
            yield from _texts(part, depth + 1)
    elif depth < 4 and isinstance(value, list):
        for part in value:
            yield from _texts(part, depth + 1)
    elif value is not None and not isinstance(value, dict | list):
        yield str(value)


def split_special_tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Split `text` into pieces. Each comes with True if it is a special token."""
    at = 0
    for token in SPECIAL_TOKEN.finditer(text):
        yield text[at : token.start()], False
        yield token.group(), True
        at = token.end()
    yield text[at:], False
