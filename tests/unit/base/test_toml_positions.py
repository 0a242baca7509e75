"""The line of each key, in every way that TOML has of writing one."""

from __future__ import annotations

from hypothesis import given
from support.profile_texts import WRITTEN, parsed, tables

from codex_tui.base.toml_positions import BOM, MAX_PARENTS, find_lines

TEXT = (
    """\
# a = 1
a = """
    + '"""'
    + """
b = 2
[c]
"""
    + '"""'
    + """
"d e" = [
  'f = 3', # g = 4
  { h = 5 },
]
i . 'j' = 6
k = { l = 7, m = { n = 8 } }

[ o . "p" ]  # [q]
q = 2020-01-01 10:00:00
[[r]]
s = 9
[[r]]
[o]
t = 10
"""
)


def test_each_key_has_its_line() -> None:
    assert find_lines(TEXT) == {
        "a": 2, "d e": 6, "i.j": 10, "i": 10, "k": 11, "k.l": 11, "k.m": 11, "k.m.n": 11, "o.p": 13, "o.p.q": 14,
        "r": 15, "r.s": 16, "o": 18, "o.t": 19,
    }  # fmt: skip


def test_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    assert find_lines(BOM + TEXT.replace("\n", "\r\n")) == find_lines(TEXT)


@given(tables())
def test_each_line_has_its_key(table: tuple[str, dict[str, str]]) -> None:
    text, written = table
    lines = find_lines(text)
    for name in written:
        assert name in text.split("\n")[lines[f"lora.{name}"] - 1]
    assert "lora" in text.split("\n")[lines["lora"] - 1]


def test_every_field_of_a_profile_has_a_line() -> None:
    lines = find_lines(WRITTEN)
    for table, fields in parsed(WRITTEN).items():
        for path in (table, *(f"{table}.{name}" for name in (fields if isinstance(fields, dict) else ()))):
            assert path.rpartition(".")[2] in WRITTEN.split("\n")[lines[path] - 1]


def test_a_key_of_thousands_of_parts_takes_no_time() -> None:
    lines = find_lines(f"{'a.' * 5_000}b = 1\n")
    assert len(lines) == MAX_PARENTS + 1
