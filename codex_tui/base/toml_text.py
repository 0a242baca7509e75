"""Changes one value in the text of a TOML file and leaves every other byte as it was.

A person's comments, order, quotes and line ends are theirs. So a file is never written anew from its values: the text
of one value is replaced, one line is put in or taken out. For that it is enough to know where each value is, which
`base/toml_positions.py` finds in text that tomllib has accepted. (tomlkit was tried: it refuses a byte order mark and
moves keys.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from codex_tui.base.toml_positions import BOM, Entry, Positions, find_positions


class CannotEdit(Exception):
    """The text is written in a way that does not allow to change this value alone."""


def put(text: str, path: str, literal: str, comment: Sequence[str], order: Sequence[str]) -> str:
    """Set `path` to `literal` in `text`. A new key goes to its place in `order`, below `comment`."""
    positions = find_positions(text)
    if entry := positions.entries.get(path):
        return text[: entry.value] + literal + text[entry.end :]
    table, _, name = path.rpartition(".")
    inline = positions.entries.get(table) if table else None
    if inline:
        return _put_in_braces(text, positions, inline, f"{name} = {literal}")
    if example := _example(text, positions, table, name):
        return _put_line(text, example, [f"{name} = {literal}"])
    siblings = [key for key in order if key in positions.entries and key.rpartition(".")[0] == table]
    earlier = [key for key in siblings if order.index(key) < order.index(path)]
    if earlier or (siblings and table and table not in positions.headers):
        sibling = positions.entries[(earlier or siblings)[-1]]
        relative = path.removeprefix(f"{sibling.table}.")
        return _put_line(text, sibling.end, [*comment, f"{relative} = {literal}"], _indent(text, sibling.start))
    if table in positions.headers:
        return _put_line(text, positions.headers[table][1], [*comment, f"{name} = {literal}"])
    nl = find_newline(text)
    if not table:
        start = len(BOM) if text.startswith(BOM) else 0
        gap = nl if text[start : start + 1] == "[" else ""
        return f"{text[:start]}{name} = {literal}{nl}{gap}{text[start:]}"
    gap = "" if not text.strip(BOM) else nl if text.endswith("\n") else nl * 2
    return text + gap + nl.join([f"[{table}]", *comment, f"{name} = {literal}"]) + nl


def take(text: str, path: str, comment: Sequence[str]) -> str:
    """Remove the line of `path` from `text`, and `comment` if exactly that is above it."""
    positions = find_positions(text)
    entry = positions.entries[path]
    if entry.inline:
        return _take_from_braces(text, positions, entry)
    start = text.rfind("\n", 0, entry.start) + 1
    if start == 0 and text.startswith(BOM):
        start = len(BOM)
    end = _line_end(text, entry.end)
    above = text[:start].splitlines(keepends=True)[-len(comment) :] if comment else []
    if above and [line.strip() for line in above] == list(comment):
        start -= sum(map(len, above))
    return text[:start] + text[end:]


def find_newline(text: str) -> str:
    """Return the line end that this text uses."""
    return "\r\n" if text[: text.find("\n")].endswith("\r") else "\n"


def _line_end(text: str, at: int) -> int:
    """Return the position after the line that contains `at`."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _indent(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    return "" if text[start:at].strip() else text[start:at]


def _put_line(text: str, at: int, lines: list[str], indent: str = "") -> str:
    """Insert `lines` below the line that contains `at`."""
    nl = find_newline(text)
    end = _line_end(text, at)
    new = nl.join(indent + line for line in lines)
    return text[:end] + (new + nl if text[:end].endswith("\n") else nl + new) + text[end:]


def _example(text: str, positions: Positions, table: str, name: str) -> int | None:
    """Find `# name = …` in its table, an example that the author of the file left to be filled in."""
    if table and table not in positions.headers:
        return None
    start = positions.headers[table][1] if table else 0
    end = min((at for at, _ in positions.headers.values() if at >= start), default=len(text))
    for match in re.compile(rf"^[ \t]*#[ \t]*{re.escape(name)}[ \t]*=", re.MULTILINE).finditer(text, start, end):
        if not any(entry.value <= match.start() < entry.end for entry in positions.entries.values()):
            return match.start()
    return None


def _inside(positions: Positions, braces: Entry) -> Iterator[Entry]:
    """Yield the entries of these braces in the order of the text, without those of a table inside them."""
    end = braces.value
    for entry in sorted(positions.entries.values(), key=lambda entry: entry.start):
        if end < entry.start and entry.end < braces.end:
            yield entry
            end = entry.end


def _put_in_braces(text: str, positions: Positions, braces: Entry, new: str) -> str:
    if text[braces.value] != "{":
        raise CannotEdit(f"{braces.path} is no table")
    last = [*_inside(positions, braces)]
    if not last:
        return text[: braces.value] + f"{{ {new} }}" + text[braces.end :]
    return text[: last[-1].end] + f", {new}" + text[last[-1].end :]


def _take_from_braces(text: str, positions: Positions, entry: Entry) -> str:
    braces = positions.entries[entry.path.rpartition(".")[0]]
    around = [*_inside(positions, braces)]
    position = around.index(entry)
    if position:
        return text[: around[position - 1].end] + text[entry.end :]
    until = around[1].start if len(around) > 1 else entry.end
    return text[: entry.start] + text[until:]
