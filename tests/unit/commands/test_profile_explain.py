"""profile explain and profile schema: every field, in words and as JSON Schema."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from support.called_commands import call

from codex_tui.profiles.schema import read_schema

pytestmark = pytest.mark.usefixtures("empty_home")


def test_explain_has_all_of_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    for path, schema in read_schema().items():
        said = call(capsys, "profile", "explain", path)
        assert " ".join(schema.text.split()) in " ".join(said.split())
        assert schema.type in said and schema.unit in said and all(limit in said for limit in schema.limits)
        tomllib.loads(said[said.rindex("default") :].partition("\n\n")[2])  # its example, as it would be written
    assert "model.max_seq_length" in call(capsys, "profile", "explain", "max_seq_length")
    assert json.loads(call(capsys, "profile", "explain", "lora.r", "--json"))["limits"] == [
        "at least 1",
        "at most 1,024",
    ]


def test_explain_without_a_field_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    lines = call(capsys, "profile", "explain").splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [
        schema.name for schema in read_schema().values()
    ]
    assert max(map(len, lines)) <= 120
    assert [schema["path"] for schema in json.loads(call(capsys, "profile", "explain", "--json"))] == [*read_schema()]


def test_explain_suggests_the_near_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean lora.r?" in call(capsys, "profile", "explain", "lora.rr", exit_code=2)
    assert "Did you mean training.learning_rate?" in call(capsys, "profile", "explain", "learnign_rate", exit_code=2)
    assert "model.name, launch.name" in call(capsys, "profile", "explain", "name", exit_code=2)
    assert "profile explain" in call(capsys, "profile", "explain", "\x1b]0;zzz", exit_code=2)


def test_the_schema_is_one_and_knows_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(call(capsys, "profile", "schema"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    found = set()

    def walk(node: Any, table: str) -> None:
        for name, field in node["properties"].items():
            if "$ref" in field:
                walk(schema["$defs"][field["$ref"].removeprefix("#/$defs/")], f"{table}.{name}" if table else name)
                continue
            path = f"{table}.{name}" if table else name
            found.add(path)
            assert field["description"] == read_schema()[path].text
            assert {"type", "anyOf", "enum", "const"} & {*field}
        assert node["type"] == "object" and node["additionalProperties"] is False and "required" not in node

    walk(schema, "")
    assert found == {*read_schema()}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("rank", "These fields are about it: lora.r"),
        ("lora", "Name one of its fields: lora.r, lora.lora_alpha"),
        ("lora.rr", "Did you mean lora.r?"),
        ("flamethrower", "List them: codex-tui profile explain"),
        ("((", "List them: codex-tui profile explain"),
    ],
)
def test_explain_knows_the_words_of_the_field_and_the_tables(
    word: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hint in call(capsys, "profile", "explain", word, exit_code=2)
