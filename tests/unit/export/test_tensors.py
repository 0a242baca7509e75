"""Headers of safetensors files, also those that nobody should trust."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from training.contract.failures import TrainingFailure
from training.export import tensors
from training.export.tensors import NewTensor, divide_into_shards, list_weight_files, name_shards, read_header

GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def write(path: Path, header: Any, size: int = 24) -> Path:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(data)) + data + bytes(size))
    return path


def test_the_tensors_of_a_file(tmp_path: Path) -> None:
    second = GOOD | {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]}
    path = write(tmp_path / "a.safetensors", {"__metadata__": {"format": "pt"}, "b": second, "a": GOOD}, 26)
    listed = read_header(path)
    assert [(one.name, one.dtype, one.shape, one.size) for one in listed] == [
        ("a", "float32", (2, 3), 24),
        ("b", "bfloat16", (), 2),
    ]
    assert listed[0].offset == path.stat().st_size - 26


@pytest.mark.parametrize(
    "header",
    [
        b"not JSON",
        b"[" * 100_000,
        [],
        {"a": 1},
        {"a": {"dtype": "F32", "shape": [2, 3]}},
        {"a": GOOD | {"data_offsets": [0, 20]}},
        {"a": GOOD | {"data_offsets": [-8, 16]}},
        {"a": GOOD | {"data_offsets": [24, 48]}},
        {"a": GOOD | {"shape": [-2, -3]}},
        {"a": GOOD | {"shape": ["x"]}},
        {"a": GOOD | {"shape": [2**40, 2**40], "data_offsets": [0, 2**82]}},
    ],
)
def test_a_damaged_header_is_named(tmp_path: Path, header: Any) -> None:
    path = write(tmp_path / "a.safetensors", header)
    with pytest.raises(TrainingFailure, match=r"a\.safetensors is damaged or no safetensors file"):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"1234567", struct.pack("<Q", 2**60), b"\xff" * 100])
def test_what_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(TrainingFailure, match="is damaged or no safetensors file"):
        read_header(tmp_path / "a.safetensors")


def test_a_number_type_that_can_not_be_merged_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {"a.weight": GOOD | {"dtype": "F8_E4M3", "shape": [24]}})
    with pytest.raises(TrainingFailure, match=r"The tensor a\.weight in .* has the number type F8_E4M3"):
        read_header(path)


def test_the_files_of_a_model(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailure, match=r"has no model\.safetensors and no model\.safetensors\.index\.json"):
        list_weight_files(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert list_weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "m-2", "b": "m-1", "c": "m-2", "d": "../outside"}}))
    with pytest.raises(TrainingFailure, match=r"index\.json is damaged"):
        list_weight_files(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "m-2", "b": "m-1", "c": "m-2"}}))
    assert list_weight_files(tmp_path) == [tmp_path / "m-1", tmp_path / "m-2"]


def test_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MAX_SHARD_BYTES", 100)
    made = [NewTensor(name, "bfloat16", (size,)) for name, size in (("a", 20), ("b", 30), ("c", 80), ("d", 1))]
    assert [[one.name for one in shard] for shard in divide_into_shards(made)] == [["a", "b"], ["c"], ["d"]]
    assert name_shards(1) == ["model.safetensors"]
    assert name_shards(2) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
