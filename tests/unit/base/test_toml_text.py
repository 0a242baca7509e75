"""One value of a profile's text changes, every other byte stays; what is typed becomes one value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.profile_texts import NAMES, VALUES, WRITTEN, parsed, tables

from codex_tui.base.toml import format_literal, parse_value
from codex_tui.base.toml_positions import find_positions
from codex_tui.base.toml_text import put, take
from codex_tui.profiles.literals import format_value, parse_input
from codex_tui.profiles.schema import read_schema

ORDER = list(read_schema())


@given(tables())
def test_every_value_is_found_where_it_stands(table: tuple[str, dict[str, str]]) -> None:
    text, written = table
    found = find_positions(text).entries
    for name, value in written.items():
        entry = found[f"lora.{name}"]
        assert text[entry.value : entry.end] == value


@given(tables(), st.sampled_from(NAMES), VALUES)
def test_a_change_leaves_every_other_byte(table: tuple[str, dict[str, str]], name: str, value: str) -> None:
    text, written = table
    value = value if "\n" not in value else "7"
    new = put(text, f"lora.{name}", value, ["# said above"], ORDER)
    assert parsed(new)["lora"] == {**parsed(text)["lora"], name: parse_value(value)}
    if name in written:
        entry = find_positions(text).entries[f"lora.{name}"]
        assert new == text[: entry.value] + value + text[entry.end :]
    else:  # one piece was put in, and taking it out again leaves what was there
        at = next((i for i, (a, b) in enumerate(zip(text, new, strict=False)) if a != b), len(text))
        piece = len(new) - len(text)
        assert any(new[:start] + new[start + piece :] == text for start in range(max(0, at - piece), at + 1))


@given(tables(), st.sampled_from(NAMES))
def test_what_was_put_in_can_be_taken_out(table: tuple[str, dict[str, str]], name: str) -> None:
    text, written = table
    if name not in written:
        new = put(text, f"lora.{name}", "7", ["# said above", "# in two lines"], ORDER)
        back = take(new, f"lora.{name}", ["# said above", "# in two lines"])
        assert back.rstrip("\r\n") == text.rstrip("\r\n")
    else:
        gone = parsed(take(text, f"lora.{name}", [])).get("lora", {})
        assert gone == {key: value for key, value in parsed(text)["lora"].items() if key != name}


FITTING: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(2**60), 2**60),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(st.characters(exclude_categories=["Cs"])),
    "array": st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
}


@given(st.data(), st.sampled_from(ORDER))
def test_what_is_shown_can_be_typed(data: st.DataObject, path: str) -> None:
    schema = read_schema()[path]
    kinds = [FITTING[kind] for kind in schema.kinds] + ([st.sampled_from(schema.choices)] if schema.choices else [])
    value = data.draw(st.one_of(kinds))
    again = parse_input(schema, format_value(value))
    assert again is not None
    assert repr(parse_value(again)) == repr(value)
    assert repr(parse_value(format_literal(value))) == repr(value)


@given(st.sampled_from(ORDER), st.text())
def test_whatever_is_typed_is_one_value(path: str, text: str) -> None:
    if (value := parse_input(read_schema()[path], text.encode("utf-8", "ignore").decode())) is not None:
        assert parsed(put(WRITTEN.replace("dataset.x = 1\n", ""), path, value, [], ORDER))


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("lora.r", "1,024", "1024"),
        ("lora.r", "1,5", '"1,5"'),  # no thousands: the schema says what is wrong
        ("lora.r", "16 # x", '"16 # x"'),
        ("training.learning_rate", "2e-4", "2e-4"),  # as it was typed
        ("training.learning_rate", ".5", "0.5"),
        ("model.offload_layers", "auto", '"auto"'),
        ("model.offload_layers", "4", "4"),
        ("training.gradient_checkpointing", "true", "true"),
        ("lora.target_modules", "q_proj, v_proj,", '["q_proj", "v_proj"]'),
        ("lora.modules_to_save", "[]", "[]"),
        ("dataset.system_prompt", '"two\\nlines"', '"two\\nlines"'),
        ("dataset.system_prompt", 'say "hi"', '"say \\"hi\\""'),
        ("model.name", "3", '"3"'),
        ("model.revision", "  ", None),
    ],
)
def test_typing(path: str, text: str, value: str | None) -> None:
    assert parse_input(read_schema()[path], text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("1", "1"), ("0, 1", "[0, 1]"), ("[2, 3]", "[2, 3]"), ("cpu", '"cpu"'), ("gpu", '"gpu"')]
)
def test_a_list_of_cards_is_typed_with_commas(text: str, value: str) -> None:
    schema = read_schema()["hardware.device"]
    assert parse_input(schema, text) == value
    assert schema.type == '"auto", "cpu", a whole number or a list of whole numbers'
