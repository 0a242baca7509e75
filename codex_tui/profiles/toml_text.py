"""Changes one value in the text of a TOML file and leaves every other byte as it was.

A person's comments, order, quotes and line ends are theirs. So a file is never written anew from its values: the text
of one value is replaced, one line is put in or taken out. For that it is enough to know where each value stands, which
`layout` finds in text that tomllib has accepted. (tomlkit was tried: it refuses a byte order mark and moves keys.)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

BOM = "\ufeff"

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEYS = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*")
_ONE_KEY = re.compile(_KEY)
_SKIPPED = re.compile(r"(?:[\s,]|#[^\n]*)*")  # between two things; commas are of interest to nobody
_SCALAR = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""{1}"{0,2}|'''
    r"""'{3}.*?'{3}'{0,2}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|"""
    r"""\d{4}-\d\d-\d\d[ ]\d\d:[^\s,\]}#]+|[^\s,\]}#]+""",
    re.DOTALL,
)


class CannotEdit(Exception):
    """The text is written in a way in which this value can't be changed alone."""


@dataclass(frozen=True)
class Entry:
    """`text[start:end]` is a key and its value, `text[value:end]` the value. `table` is the header it stands under,
    `inline` whether in braces."""

    path: str
    table: str
    start: int
    value: int
    end: int
    inline: bool


@dataclass
class Layout:
    entries: dict[str, Entry] = field(default_factory=dict)
    headers: dict[str, tuple[int, int]] = field(default_factory=dict)  # where each header stands


def layout(text: str) -> Layout:
    """Where everything stands in valid TOML."""
    found = Layout()
    table = ""
    at = len(BOM) if text.startswith(BOM) else 0
    while (at := _skip(text, at)) < len(text):
        if text[at] == "[":
            keys = _KEYS.search(text, at)
            assert keys
            table = _dotted(keys[0])
            end = text.index("]", keys.end())
            end += 2 if text.startswith("[[", at) else 1
            found.headers.setdefault(table, (at, end))
            at = end
        else:
            at = _entry(text, at, table, "", False, found)
    return found


def _skip(text: str, at: int) -> int:
    skipped = _SKIPPED.match(text, at)
    return skipped.end() if skipped else at


def _dotted(keys: str) -> str:
    parts = _ONE_KEY.findall(keys)
    return ".".join(next(iter(tomllib.loads(f"{part} = 0"))) if part[0] in "\"'" else part for part in parts)


def _entry(text: str, at: int, table: str, within: str, inline: bool, found: Layout) -> int:
    keys = _KEYS.match(text, at)
    assert keys, text[at : at + 20]
    path = ".".join(filter(None, [within or table, _dotted(keys[0])]))
    value = _skip(text, text.index("=", keys.end()) + 1)
    end = _value(text, value, table, path, found)
    found.entries[path] = Entry(path, table, at, value, end, inline)
    return end


def _value(text: str, at: int, table: str, path: str, found: Layout) -> int:
    """Where the value that begins at `at` ends."""
    if text[at] not in "[{":
        scalar = _SCALAR.match(text, at)
        assert scalar
        return scalar.end()
    inside = at + 1
    while text[inside := _skip(text, inside)] not in "]}":
        if text[at] == "[":
            inside = _value(text, inside, table, path, Layout())  # what is in an array has no path
        else:
            inside = _entry(text, inside, table, path, True, found)
    return inside + 1


def put(text: str, path: str, literal: str, comment: Sequence[str], order: Sequence[str]) -> str:
    """`text` with `path` set to `literal`. A new key comes where `order` has it, below `comment`."""
    found = layout(text)
    if entry := found.entries.get(path):
        return text[: entry.value] + literal + text[entry.end :]
    table, _, name = path.rpartition(".")
    inline = found.entries.get(table) if table else None
    if inline:
        return _put_in_braces(text, found, inline, f"{name} = {literal}")
    if example := _example(text, found, table, name):
        return _put_line(text, example, [f"{name} = {literal}"])
    siblings = [key for key in order if key in found.entries and key.rpartition(".")[0] == table]
    earlier = [key for key in siblings if order.index(key) < order.index(path)]
    if earlier or (siblings and table and table not in found.headers):
        sibling = found.entries[(earlier or siblings)[-1]]
        relative = path if sibling.table != table else name
        return _put_line(text, sibling.end, [*comment, f"{relative} = {literal}"], _indent(text, sibling.start))
    if table in found.headers:
        return _put_line(text, found.headers[table][1], [*comment, f"{name} = {literal}"])
    nl = newline(text)
    if not table:
        start = len(BOM) if text.startswith(BOM) else 0
        gap = nl if text[start : start + 1] == "[" else ""
        return f"{text[:start]}{name} = {literal}{nl}{gap}{text[start:]}"
    gap = "" if not text.strip(BOM) else nl if text.endswith("\n") else nl * 2
    return text + gap + nl.join([f"[{table}]", *comment, f"{name} = {literal}"]) + nl


def take(text: str, path: str, comment: Sequence[str]) -> str:
    """`text` without `path`: its line goes, and `comment` where just that stands above it."""
    found = layout(text)
    entry = found.entries[path]
    if entry.inline:
        return _take_from_braces(text, found, entry)
    start = text.rfind("\n", 0, entry.start) + 1
    if start == 0 and text.startswith(BOM):
        start = len(BOM)
    end = _line_end(text, entry.end)
    above = text[:start].splitlines(keepends=True)[-len(comment) :] if comment else []
    if above and [line.strip() for line in above] == list(comment):
        start -= sum(map(len, above))
    return text[:start] + text[end:]


def newline(text: str) -> str:
    """How this text ends its lines."""
    return "\r\n" if text[: text.find("\n")].endswith("\r") else "\n"


def _line_end(text: str, at: int) -> int:
    """Just behind the end of the line that `at` is on."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _indent(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    return "" if text[start:at].strip() else text[start:at]


def _put_line(text: str, at: int, lines: list[str], indent: str = "") -> str:
    """`lines` below the line that `at` is on."""
    nl = newline(text)
    end = _line_end(text, at)
    new = nl.join(indent + line for line in lines)
    return text[:end] + (new + nl if text[:end].endswith("\n") else nl + new) + text[end:]


def _example(text: str, found: Layout, table: str, name: str) -> int | None:
    """Where `# name = …` stands in its table: a value that the file's writer left to be filled in."""
    if table and table not in found.headers:
        return None
    start = found.headers[table][1] if table else 0
    end = min((at for at, _ in found.headers.values() if at >= start), default=len(text))
    for match in re.compile(rf"^[ \t]*#[ \t]*{re.escape(name)}[ \t]*=", re.MULTILINE).finditer(text, start, end):
        if not any(entry.value <= match.start() < entry.end for entry in found.entries.values()):
            return match.start()
    return None


def _inside(found: Layout, braces: Entry) -> Iterator[Entry]:
    """What stands in these braces, in the text's order."""
    inside = (entry for entry in found.entries.values() if braces.value < entry.start and entry.end < braces.end)
    return iter(sorted(inside, key=lambda entry: entry.start))


def _put_in_braces(text: str, found: Layout, braces: Entry, new: str) -> str:
    if text[braces.value] != "{":
        raise CannotEdit(f"{braces.path} is no table")
    last = [*_inside(found, braces)]
    if not last:
        return text[: braces.value] + f"{{ {new} }}" + text[braces.end :]
    return text[: last[-1].end] + f", {new}" + text[last[-1].end :]


def _take_from_braces(text: str, found: Layout, entry: Entry) -> str:
    braces = found.entries[entry.path.rpartition(".")[0]]
    around = [*_inside(found, braces)]
    position = around.index(entry)
    if position:
        return text[: around[position - 1].end] + text[entry.end :]
    until = around[1].start if len(around) > 1 else entry.end
    return text[: entry.start] + text[until:]
