"""Finds where each key of a TOML file is, because tomllib keeps no positions.

The editor of profiles needs the place of a value, and the errors of profiles and of settings.toml need its line. The
room `profiles` reads profiles and `base` reads the settings, so the finder is in `base`, where both may import it.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field

BOM = "\ufeff"
MAX_PARENTS = 8  # a key may have thousands of parts; no error names so deep a table

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEYS = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*")
_ONE_KEY = re.compile(_KEY)
_SKIPPED = re.compile(r"(?:[\s,]|#[^\n]*)*")  # everything that may be between two keys or values
_SCALAR = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""{1}"{0,2}|'''
    r"""'{3}.*?'{3}'{0,2}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|"""
    r"""\d{4}-\d\d-\d\d[ ]\d\d:[^\s,\]}#]+|[^\s,\]}#]+""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Entry:
    """`text[start:end]` is a key and its value, `text[value:end]` the value alone. `table` is the path of the last
    header above it. `inline`: the key is in an inline table, between braces."""

    path: str
    table: str
    start: int
    value: int
    end: int
    inline: bool


@dataclass
class Positions:
    entries: dict[str, Entry] = field(default_factory=dict)
    headers: dict[str, tuple[int, int]] = field(default_factory=dict)  # start and end of each table's header


def find_positions(text: str) -> Positions:
    """Find the positions of all keys, values and headers in `text`, which must be valid TOML."""
    positions = Positions()
    table = ""
    at = len(BOM) if text.startswith(BOM) else 0
    while (at := _skip(text, at)) < len(text):
        if text[at] == "[":
            keys = _KEYS.search(text, at)
            assert keys
            table = _join_keys(keys[0])
            end = text.index("]", keys.end())
            end += 2 if text.startswith("[[", at) else 1
            positions.headers.setdefault(table, (at, end))
            at = end
        else:
            at = _read_entry(text, at, table, "", False, positions)
    return positions


def _skip(text: str, at: int) -> int:
    skipped = _SKIPPED.match(text, at)
    return skipped.end() if skipped else at


def _join_keys(keys: str) -> str:
    parts = _ONE_KEY.findall(keys)
    return ".".join(next(iter(tomllib.loads(f"{part} = 0"))) if part[0] in "\"'" else part for part in parts)


def _read_entry(text: str, at: int, table: str, within: str, inline: bool, positions: Positions) -> int:
    keys = _KEYS.match(text, at)
    assert keys, text[at : at + 20]
    path = ".".join(filter(None, [within or table, _join_keys(keys[0])]))
    value = _skip(text, text.index("=", keys.end()) + 1)
    end = _read_value(text, value, table, path, positions)
    positions.entries[path] = Entry(path, table, at, value, end, inline)
    return end


def _read_value(text: str, at: int, table: str, path: str, positions: Positions) -> int:
    """Return the end of the value that begins at `at`. Add the keys inside it to `positions`."""
    if text[at] not in "[{":
        scalar = _SCALAR.match(text, at)
        assert scalar
        return scalar.end()
    inside = at + 1
    while text[inside := _skip(text, inside)] not in "]}":
        if text[at] == "[":
            inside = _read_value(text, inside, table, path, Positions())  # a key in an array has no path
        else:
            inside = _read_entry(text, inside, table, path, True, positions)
    return inside + 1


def find_lines(text: str) -> dict[str, int]:
    """Find the line of each key and each table of valid TOML, by its path. Lines count from 1.

    A table without a line of its own, such as `a` of `a.b = 1`, gets the line of its first key.
    """
    positions = find_positions(text)
    starts = {path: entry.start for path, entry in positions.entries.items()}
    starts |= {path: start for path, (start, _) in positions.headers.items()}
    for path, start in sorted(starts.items(), key=lambda item: item[1]):
        parts = path.split(".", MAX_PARENTS)
        for depth in range(1, len(parts)):
            starts.setdefault(".".join(parts[:depth]), start)
    line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return {path: bisect_right(line_starts, start) for path, start in starts.items()}
