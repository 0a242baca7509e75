"""Parses TOML that comes from a file or from a person, within limits, and explains what is wrong in plain words.

tomllib alone has no limits: one key of 20,000 parts, a file of 40 kB, costs it half a minute and 1.6 GB.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

MAX_BYTES = 2**20  # of a file; the shipped profiles have less than 10 kB
MAX_KEY_PARTS = 16  # of one dotted key or table header; a profile's keys have two

_QUOTED = r"""(?:"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?)"""  # or unclosed, so that nothing is searched twice
_KEY = rf"(?:[A-Za-z0-9_-]+|{_QUOTED})"
_DOTTED_KEY = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
# Comments and long strings are matched only to be skipped: a dot in them separates no keys.
_TOKEN = re.compile(rf'#[^\n]*|"""(?:[^\\]|\\.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|(?P<key>{_DOTTED_KEY})', re.DOTALL)
_QUOTED_PART = re.compile(_QUOTED)

# Plain words for the messages of tomllib about the most frequent mistakes.
_PLAIN_MESSAGES = {
    r"^Cannot overwrite a value": "a key is set a second time",
    r"^Cannot declare \('(.+)',\) twice": r"the table [\1] is there a second time",
    r"^Exceeds the limit .*": "a number has thousands of digits",
}


class TomlError(ValueError):
    """A text that is not TOML, or exceeds a limit. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        self.message, self.line = message, line
        super().__init__(f"{message} (line {line})")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of `text`. Raises TomlError."""
    if line := _find_long_key(text):
        raise TomlError(f"a key has more than {MAX_KEY_PARTS} parts, separated by dots", line)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlError("nested too deeply", 1) from None
    except ValueError as error:  # TOMLDecodeError, or the error of int() for a number with thousands of digits
        raise _explain(str(error), text) from None


def parse_value(text: str) -> Any:
    """Return the value that `text` means as TOML. Raises TomlError if it is no value, or if a key follows it."""
    table = parse_toml(f"value = {text}")
    if len(table) > 1:
        raise TomlError("more than one value", 1)
    return table["value"]


def format_literal(value: Any) -> str:
    """Format `value` as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_literal, value))}]"
    return repr(value)


def _find_long_key(text: str) -> int | None:
    """Return the line of the first key with too many parts."""
    for token in _TOKEN.finditer(text):
        key = token["key"]
        if key and key.count(".") >= MAX_KEY_PARTS and _QUOTED_PART.sub("", key).count(".") >= MAX_KEY_PARTS:
            return text.count("\n", 0, token.start()) + 1
    return None


def _explain(message: str, text: str) -> TomlError:
    for pattern, plain in _PLAIN_MESSAGES.items():
        message = re.sub(pattern, plain, message)
    if place := re.search(r"\(at line (\d+), column \d+\)", message):
        line = int(place[1])
    else:  # the problem is in a number, or at the end of the text
        digits = re.search(r"\d{4000}", text) if "digits" in message else None
        line = text.count("\n", 0, digits.start() if digits else None) + 1
    return TomlError("not valid TOML: " + re.sub(r"\s*\(at .*\)", "", message), line)
