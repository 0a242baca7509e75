"""What is a row, what is wrong with one that isn't, and on which line it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.contract.dataset_file import DatasetFile, dataset_path, read_rows

GOOD = {"instruction": "Who?", "response": "Rook."}
ASKED = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Rook."}]


def read(tmp_path: Path, data: bytes | str) -> DatasetFile:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_rows(path)


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        (GOOD, ASKED),
        ({"prompt": "Who?", "completion": "Rook."}, ASKED),
        ({"question": "Who?", "answer": "Rook.", "score": 3}, ASKED),
        ({"instruction": "Who?", "output": "Rook.", "input": ""}, ASKED),
        ({"instruction": "Who?", "context": "Stage 1", "response": "Rook."},
         [{"role": "user", "content": "Who?\n\nStage 1"}, ASKED[1]]),
        ({**GOOD, "system": "Be brief."}, [{"role": "system", "content": "Be brief."}, *ASKED]),
        ({"messages": ASKED}, ASKED),
        ({"messages": [*ASKED, *ASKED, {"role": "user", "content": "And?"}]}, [*ASKED, *ASKED]),
    ],
)  # fmt: skip
def test_shapes(tmp_path: Path, row: dict[str, Any], messages: list[dict[str, str]]) -> None:
    found = read(tmp_path, json.dumps(row))
    assert found.problems == []
    assert [r.messages for r in found.rows] == [messages]
    assert found.rows[0].raw == row
    assert found.columns == list(row)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not valid JSON"),
        (b'{"instruction": "a", "response": NaN}', "not valid JSON"),
        (b"[", "one object a line"),
        (b'"text"', "expected a JSON object, found text"),
        (b"3", "found a number"),
        (b'{"response": "b"}', '"instruction" is missing'),
        (b'{"instruction": "a"}', '"response" is missing'),
        (b'{"instruction": "a", "response": "  "}', '"response" is empty'),
        (b'{"instruction": "", "response": "b"}', '"instruction" is empty'),
        (b'{"instruction": "a", "response": 5}', '"response" must be text, found a number'),
        (b'{"instruction": "a", "response": null}', "found nothing"),
        (b'{"instruction": "a", "response": "\xff"}', "not UTF-8"),
        (b'{"instruction": "a", "response": "\\ud800 b"}', "surrogate"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"messages": "hi"}', "must be a list"),
        (b'{"messages": []}', "no assistant message"),
        (b'{"messages": ["hi"]}', "message 1 must be an object"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "no assistant message"),
        (b'{"messages": [{"role": "assistant", "content": "a"}]}', "no user message"),
        (b'{"messages": [{"role": "robot", "content": "a"}]}', '"role" must be'),
        (b'{"messages": [{"role": ["user"], "content": "a"}]}', '"role" must be'),
        (b'{"messages": [{"role": "user", "content": ["a"]}]}', "must be text, found a list"),
        (b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}', "is empty"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, line: bytes, said: str) -> None:
    good = json.dumps(GOOD).encode()
    found = read(tmp_path, good + b"\n\n" + line + b"\n" + good)
    assert [row.line for row in found.rows] == [1, 4]
    [problem] = found.problems
    assert problem.line == 3
    assert said in problem.message
    assert str(problem).startswith("line 3: ")


def test_byte_order_mark_crlf_and_blank_lines_are_fine(tmp_path: Path) -> None:
    good = json.dumps(GOOD)
    found = read(tmp_path, b"\xef\xbb\xbf" + f"{good}\r\n\r\n   \n{good}\r\n".encode())
    assert found.problems == []
    assert [row.line for row in found.rows] == [1, 4]


def test_line_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps({**GOOD, "response": "a\u2028b\x85c"}, ensure_ascii=False))
    assert [row.messages[-1]["content"] for row in found.rows] == ["a\u2028b\x85c"]


def test_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path / "none.jsonl")


def test_the_shipped_sample_has_a_name() -> None:
    assert len(read_rows(dataset_path("demo:zombie-waves")).rows) >= 200
    assert dataset_path("rows.jsonl") == Path("rows.jsonl")


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_problems(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(data)
    found = read_rows(path)
    blank = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if not line.strip()]
    assert len(found.rows) + len(found.problems) == data.removeprefix(b"\xef\xbb\xbf").count(b"\n") + 1 - len(blank)
