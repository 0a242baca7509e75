"""Compressed files have the rows and the lines of the files that were packed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from training.dataset.formats import Unreadable, is_data_file, strip_data_suffix
from training.dataset.index import RowIndex
from training.dataset.records import records
from training.dataset.source import local

ROWS = [{"instruction": f"Who is {n}?", "response": f"Rook {n}."} for n in range(3)]
CONTENTS = {
    "rows.jsonl": "\n\n".join(map(json.dumps, ROWS)) + "\noops",
    "rows.json": json.dumps(ROWS, indent=1),
    "rows.csv": "instruction,response\n" + "".join(f"{row['instruction']},{row['response']}\n" for row in ROWS),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_gzip_is_read(tmp_path: Path, name: str) -> None:
    plain, packed = tmp_path / name, tmp_path / f"{name}.gz"
    plain.write_text(CONTENTS[name])
    packed.write_bytes(gzip.compress(CONTENTS[name].encode()))
    expected = list(records(plain))
    assert [record.raw for record in expected if record.raw] == ROWS
    assert list(records(packed)) == expected
    index = RowIndex.open(local(str(packed)), tmp_path / "cache")
    assert list(index.records()) == expected
    assert [index.line(n) for n in range(len(index))] == [record.line for record in expected]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\0\0\0\0\0\0" + data[26:]])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in ROWS * 50))))  # type: ignore[operator]
    with pytest.raises(Unreadable, match=r"rows\.jsonl\.gz can't be unpacked"):
        list(records(path))


def test_names() -> None:
    assert [strip_data_suffix(name) for name in ("a.jsonl", "a.JSONL.gz", "a.b.csv.zst", "a.txt")] == [
        "a", "a", "a.b", "a.txt",
    ]  # fmt: skip
    assert is_data_file("rows.csv.gz")
    assert not is_data_file("rows.gz")
    assert not is_data_file("rows.parquet.gz")
