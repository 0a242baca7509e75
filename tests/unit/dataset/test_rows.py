"""Which files a dataset has, what is a row in them, what is wrong with one that isn't, and on which line it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.dataset.formats import Unreadable
from training.dataset.rows import Rows
from training.dataset.rows import read as read_all
from training.dataset.shapes import USUAL, Columns, Reading
from training.dataset.source import Source, SourceProblem, hub_id, local

GOOD = {"instruction": "Who?", "response": "Rook."}
ASKED = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Rook."}]


def read(tmp_path: Path, data: bytes | str, name: str = "rows.jsonl", columns: Columns = USUAL) -> Rows:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_all(local(str(path)), columns)


@pytest.mark.parametrize(
    ("row", "messages", "shape"),
    [
        (GOOD, ASKED, "instruction"),
        ({"prompt": "Who?", "completion": "Rook."}, ASKED, "prompt_completion"),
        ({"prompt": ASKED[:1], "completion": ASKED[1:]}, ASKED, "prompt_completion"),
        ({"question": "Who?", "answer": "Rook.", "score": 3}, ASKED, "instruction"),
        ({"input": "Who?", "output": "Rook."}, ASKED, "instruction"),
        ({"instruction": "Who?", "output": "Rook.", "input": ""}, ASKED, "instruction"),
        ({"instruction": "Who?", "context": "Stage 1", "response": "Rook."},
         [{"role": "user", "content": "Who?\n\nStage 1"}, ASKED[1]], "instruction"),
        ({**GOOD, "system": "Be brief."}, [{"role": "system", "content": "Be brief."}, *ASKED], "instruction"),
        ({"messages": ASKED, "id": 7}, ASKED, "messages"),
        ({"messages": [*ASKED, *ASKED, {"role": "user", "content": "And?"}]}, [*ASKED, *ASKED], "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}, ASKED[1]]}, ASKED, "messages"),
        ({"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Rook."}], "system": "Brief.",
          "tools": "[]"},
         [{"role": "system", "content": "Brief."}, *ASKED], "conversations"),
    ],
)  # fmt: skip
def test_shapes(tmp_path: Path, row: dict[str, Any], messages: list[dict[str, str]], shape: str) -> None:
    found = read(tmp_path, json.dumps(row))
    assert found.problems == []
    assert [r.messages for r in found.rows] == [messages]
    assert found.rows[0].raw == row
    assert found.rows[0].shape == shape
    assert {*found.reading.used, *found.reading.ignored} == {*row}


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
        (b'{"messages": [{"role": "user", "content": [{"type": "file"}]}]}', "parts other than text"),
        (b'{"messages": [{"role": "tool", "content": "4"}]}', "no assistant message"),
        (b'{"conversations": [{"from": "function_call", "value": "f()"}]}', "a call must be JSON"),
        (b'{"conversations": [{"from": "narrator", "value": "f()"}]}', '"from" must be system, human, gpt or obs'),
        (b'{"text": " "}', '"text" is empty'),
        (b'{"text": "' + b"a" * (17 * 2**20) + b'"}', "longer than 16 MiB"),
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


def test_plain_text_is_learned_whole(tmp_path: Path) -> None:
    found = read(tmp_path, '{"text": "Once.", "source": "a book"}')
    assert [(row.text, row.messages) for row in found.rows] == [("Once.", [])]
    assert found.reading == Reading("text", ("text",), ("source",))


def test_columns_of_other_names_are_read_as_the_profile_says(tmp_path: Path) -> None:
    row = {"q": "Who?", "a": "Rook.", "stage": "1", "answer": "no", "say": "Be brief."}
    columns = Columns(instruction="q", response="a", context="stage", system="say")
    [found] = read(tmp_path, json.dumps(row), columns=columns).rows
    assert [message["content"] for message in found.messages] == ["Be brief.", "Who?\n\n1", "Rook."]
    assert read(tmp_path, json.dumps(row), columns=columns).reading.ignored == ("answer",)
    [text] = read(tmp_path, json.dumps(row), columns=Columns(text="a")).rows
    assert text.text == "Rook."
    [problem] = read(tmp_path, json.dumps(row), columns=Columns(messages="chat")).problems
    assert problem.message == '"chat" is missing'
    [problem] = read(tmp_path, json.dumps(row), columns=Columns(instruction="q", response="none")).problems
    assert problem.message == '"none" is missing'


def test_json_arrays_name_the_line_of_each_element(tmp_path: Path) -> None:
    good = json.dumps(GOOD, indent=1)
    found = read(tmp_path, f"\ufeff[\n{good},\n3,\n{good}\n]\n", "rows.json")
    assert [row.line for row in found.rows] == [2, 7]
    assert [str(problem) for problem in found.problems] == ["line 6: expected a JSON object, found a number"]
    broken = read(tmp_path, f"[\n{good},\n{{oops", "rows.json")
    assert len(broken.rows) == 1
    assert "line 6: the array is broken here, nothing after it was read: Expecting" in str(broken.problems[0])
    assert "expected a comma" in str(read(tmp_path, f"[{good} {good}]", "rows.json").problems[0])
    assert read(tmp_path, "[]", "rows.json").rows == []
    assert len(read(tmp_path, json.dumps(GOOD), "rows.json").rows) == 1  # JSONL by another name
    with pytest.raises(Unreadable, match="not UTF-8"):
        read(tmp_path, b"[\xff]", "rows.json")


def test_csv_rows_have_the_line_that_they_begin_on(tmp_path: Path) -> None:
    text = b'instruction;response\r\n"Who\r\nis it?";Rook.\r\nWhat?;"a";b\r\n\r\nWhy?;So.\r\n' + b"\xff;b\r\n"
    found = read(tmp_path, text, "rows.csv")
    assert [(row.line, row.messages[0]["content"]) for row in found.rows] == [(2, "Who\r\nis it?"), (6, "Why?")]
    assert [str(problem) for problem in found.problems] == [
        "line 4: has 3 fields, and the header names 2",
        "line 7: not UTF-8 text",
    ]
    assert len(read(tmp_path, "prompt\tcompletion\na, b\tc\n", "rows.tsv").rows) == 1
    assert read(tmp_path, "", "rows.csv").rows == []


def test_several_files_are_named_in_problems(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD) + "\n{\n")
    (tmp_path / "b.csv").write_text("instruction,response\nWho?,Rook.\n")
    found = read_all(local(str(tmp_path)))
    assert [row.file for row in found.rows] == [0, 1]
    assert str(found.problems[0]).startswith("a.jsonl, line 2: ")
    assert len(read_all(local("*.jsonl", tmp_path)).rows) == 1


def test_a_name_means_a_file_a_folder_a_pattern_or_the_hub(tmp_path: Path) -> None:
    data = tmp_path / "guide" / "rows"
    data.mkdir(parents=True)
    with pytest.raises(SourceProblem, match="contains no data file"):
        local("guide", tmp_path)
    for name in ("train-00000.jsonl", "test.jsonl", ".hidden.jsonl", "notes.txt"):
        (data / name).write_text("")
    found = local("guide", tmp_path)
    assert [path.name for path in found.files] == ["train-00000.jsonl"]
    assert [(left.path.name, left.reason) for left in found.left_out] == [
        ("notes.txt", "not a data file"),
        ("test.jsonl", "the test split"),
    ]
    assert local("demo:zombie-waves").files[0].name == "zombie_waves.jsonl"
    for name, said in (
        ("none.jsonl", "no such dataset file"),
        ("*.parquet", "no file matches this pattern"),
        ("", "not a file"),
    ):
        with pytest.raises(SourceProblem, match=said):
            local(name, tmp_path)
    assert hub_id("hf://datasets/owner/rows") == "owner/rows"
    assert hub_id("owner/rows") == "owner/rows"
    assert hub_id("guide/rows", tmp_path) is None
    assert hub_id("owner/rows.jsonl") is None
    assert hub_id("rows.jsonl") is None


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows"])
@pytest.mark.parametrize("data", [b"\x7fELF\x02\0\n\n\0\n", '{"instruction": "Who?"}\n'.encode("utf-16")])
def test_what_is_no_text_is_said_once(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(Unreadable, match="is not a text file: it contains NUL bytes") as told:
        read(tmp_path, data, name)
    assert "JSONL" in told.value.hint
    found = read(tmp_path, json.dumps(GOOD) + "\n\0\n")  # a damaged row is no damaged file
    assert (len(found.rows), len(found.problems)) == (1, 1)


def test_a_link_that_leads_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").symlink_to("rows.jsonl")
    with pytest.raises(SourceProblem, match="this link points to a file that does not exist"):
        local("rows.jsonl", tmp_path)


def test_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_all(Source("none", (tmp_path / "none.jsonl",)))


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_problems(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(data)
    try:
        found = read_all(local(str(path)))
    except Unreadable:
        assert b"\0" in data
        return
    blank = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if not line.strip()]
    assert len(found.rows) + len(found.problems) == data.removeprefix(b"\xef\xbb\xbf").count(b"\n") + 1 - len(blank)
