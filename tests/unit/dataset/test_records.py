"""JSON documents and CSV files as programs and people write them: what is a row, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.dataset.formats import format_of
from training.dataset.index import RowIndex
from training.dataset.records import Record, records
from training.dataset.rows import read
from training.dataset.source import local

ROWS = [{"instruction": f"Who is {n}?", "response": f"Rook {n}."} for n in range(3)]
LINES = [json.dumps(row) for row in ROWS]


def load(tmp_path: Path, text: str, name: str = "rows.jsonl") -> list[Record]:
    path = tmp_path / name
    path.write_text(text)
    found = list(records(path))
    index = RowIndex.open(local(str(path)), tmp_path / "cache")
    assert list(index.records()) == found
    return found


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (json.dumps(ROWS), [1, 1, 1]),
        (json.dumps(ROWS, indent=2), [2, 6, 10]),
        ("\ufeff\n" + json.dumps(ROWS, indent=2), [3, 7, 11]),
        ("[" + ",\n".join(LINES) + "]", [1, 2, 3]),
        ("\n".join(json.dumps(row, indent=2) for row in ROWS), [1, 5, 9]),
        (",\n".join(json.dumps(row, indent=2) for row in ROWS) + ",\n", [1, 5, 9]),
        ("".join(f"{line},\n" for line in LINES), [1, 2, 3]),
        (json.dumps({"version": "1", "data": ROWS}), [1, 1, 1]),
        ('{"version": "1", "data": [\n' + ",\n".join(LINES) + "\n]}\n", [2, 3, 4]),
        (json.dumps({"meta": {"data": [1]}, "rows": ROWS, "note": "}"}, indent=1), [8, 12, 16]),
        ('{"train":\n[' + ",\n".join(LINES) + '], "test": [{"instruction": "No", "response": "never"}]}', [2, 3, 4]),
    ],
)
def test_json_that_is_not_one_object_a_line_is_read(tmp_path: Path, text: str, lines: list[int], name: str) -> None:
    found = load(tmp_path, text, name)
    assert [record.raw for record in found] == ROWS
    assert [record.line for record in found] == lines


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{\n  "instruction": "a"\n  "response": "b"\n}', ["line 1: the JSON is broken here, nothing after it"]),
        ('[{"instruction": "a", "response"}]', ["line 1: the array is broken here, nothing after it was read"]),
        ('[["a", "b"]]\n[["c", "d"]]\n', ["line 1: expected a JSON object, found a list", "line 2: expected a JSON"]),
        ("[\n" + LINES[0] + "\n" + LINES[1] + "\n]", ["line 3: the array is broken here"]),
        ("{\n" + LINES[0], ["line 1: not valid JSON"]),
        ('{"data": [1, 2]}', ['line 1: "instruction" is missing']),
    ],
)  # fmt: skip
def test_the_reason_is_said_once(tmp_path: Path, text: str, problems: list[str]) -> None:
    load(tmp_path, text)
    found = read(local(str(tmp_path / "rows.jsonl"))).problems
    assert len(found) == len(problems)
    for problem, said in zip(found, problems, strict=True):
        assert str(problem).startswith(said)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        ROWS[0],
    ],
)
def test_a_file_of_one_row_is_a_row(tmp_path: Path, row: dict[str, Any]) -> None:
    for text in (json.dumps(row), json.dumps(row, indent=1)):
        assert [record.raw for record in load(tmp_path, text)] == [row]
    assert format_of(tmp_path / "rows.jsonl") == "json"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('instruction, response\nWho is 0?, Rook 0.\n"Who is 1?", "Rook 1."\nWho is 2?, Rook 2.\n', [2, 3, 4]),
        ("instruction , response\nWho is 0?,Rook 0.\nWho is 1?,Rook 1.\nWho is 2?,Rook 2.", [2, 3, 4]),
        ("sep=;\r\ninstruction;response\r\nWho is 0?;Rook 0.\r\nWho is 1?;Rook 1.\r\nWho is 2?;Rook 2.\r\n", [3, 4, 5]),
        ("instruction,response\nWho is 0?,Rook 0.\n,\nWho is 1?,Rook 1.\nWho is 2?,Rook 2.\n  \n\n,\n , \n", [2, 4, 5]),
        ("\n\ninstruction;response\nWho is 0?;Rook 0.\nWho is 1?;Rook 1.\nWho is 2?;Rook 2.\n", [4, 5, 6]),
    ],
)
def test_csv_as_programs_write_it(tmp_path: Path, text: str, lines: list[int]) -> None:
    found = load(tmp_path, text, "rows.csv")
    assert [record.raw for record in found] == ROWS
    assert [record.line for record in found] == lines


def test_a_space_belongs_to_the_cell_where_only_some_have_one(tmp_path: Path) -> None:
    [record] = load(tmp_path, "instruction,response\nWho?, Rook.\n", "rows.csv")
    assert record.raw == {"instruction": "Who?", "response": " Rook."}
