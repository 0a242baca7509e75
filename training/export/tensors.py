"""Reads and writes safetensors files piece by piece, so that no file and no large tensor is in memory as a whole."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from training.contract import files
from training.contract.failures import TrainingFailure

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_ELEMENTS = 2**20  # in a block of rows, about; with larger ones, malloc keeps more memory than they need
MAX_HEADER_BYTES = 64 * 2**20
MAX_SHARD_BYTES = 4_000_000_000  # FAT and many programs end at 4 GiB
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
CODES = {name: code for code, name in _DTYPES.items()}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file. `dtype` is torch's name of its number type."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int

    def read(self, first: int = 0, rows: int | None = None) -> Tensor:
        """Read `rows` rows from the row `first` on; by default all. Raises TrainingFailure, OSError."""
        import torch

        count = self.shape[0] if self.shape else 1
        rows = count - first if rows is None else min(rows, count - first)
        row_size = self.size // count if count else 0
        data = bytearray(rows * row_size)
        with files.open_file(self.path) as file:
            file.seek(self.offset + first * row_size)
            if file.readinto(data) != len(data):
                raise TrainingFailure("model_not_found", f"{self.path} is damaged: it ends too early.")
        shape = (rows, *self.shape[1:]) if self.shape else ()
        kind = getattr(torch, self.dtype)
        return torch.frombuffer(data, dtype=kind).reshape(shape) if data else torch.empty(shape, dtype=kind)

    def iterate_blocks(self, *, whole: bool = False) -> Iterator[tuple[int, Tensor]]:
        """Yield the rows in blocks, or all at once: the number of the first row, and the rows."""
        rows = self.shape[0] if self.shape else 1
        step = rows if whole else max(1, BLOCK_ELEMENTS // max(1, prod(self.shape[1:])))
        for first in range(0, max(1, rows), max(1, step)):
            yield first, self.read(first, step)


def read_header(path: Path) -> list[StoredTensor]:
    """List the tensors of a safetensors file in the order of their bytes. Raises TrainingFailure, OSError."""
    try:
        with files.open_file(path) as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > MAX_HEADER_BYTES:
                raise ValueError("header too large")
            header = json.loads(file.read(length))
            end = os.fstat(file.fileno()).st_size
        tensors = [
            _read_entry(path, name, entry, 8 + length) for name, entry in header.items() if name != "__metadata__"
        ]
        if any(tensor.offset + tensor.size > end for tensor in tensors):
            raise ValueError("too short")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error) as error:
        raise TrainingFailure("model_not_found", f"{path} is damaged or no safetensors file.") from error
    return sorted(tensors, key=lambda tensor: tensor.offset)


def _read_entry(path: Path, name: str, entry: dict[str, Any], start: int) -> StoredTensor:
    begin, end = map(int, entry["data_offsets"])
    shape = tuple(map(int, entry["shape"]))
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise TrainingFailure(
            "bad_config", f"The tensor {name} in {path} has the number type {entry['dtype']}, which can't be merged."
        )
    if begin < 0 or min(shape, default=0) < 0 or end - begin != prod(shape) * _count_bytes(dtype):
        raise ValueError("wrong offsets")
    return StoredTensor(path, name, dtype, shape, start + begin, end - begin)


def _count_bytes(dtype: str) -> int:
    return {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "int8": 1, "uint8": 1, "bool": 1}.get(dtype, 2)


def list_weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of the model in `folder`. Raises TrainingFailure."""
    index = folder / INDEX
    try:
        if index.is_file():
            names = json.loads(files.read(index, MAX_HEADER_BYTES))["weight_map"].values()
            if any(Path(name).name != name for name in names):
                raise ValueError("a file outside of the folder")
            return [folder / name for name in sorted(set(names))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TrainingFailure("model_not_found", f"{index} is damaged.") from error
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    raise TrainingFailure(
        "model_not_found",
        f"{folder} has no {SINGLE} and no {INDEX}.",
        "Other formats can carry code and are not loaded.",
    )


@dataclass(frozen=True)
class NewTensor:
    """A tensor to write, in torch's number type `dtype`."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape) * _count_bytes(self.dtype)


def divide_into_shards(tensors: Sequence[NewTensor]) -> list[list[NewTensor]]:
    shards: list[list[NewTensor]] = [[]]
    size = 0
    for tensor in tensors:
        if shards[-1] and size + tensor.size > MAX_SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.size
    return shards


def name_shards(count: int) -> list[str]:
    if count == 1:
        return [SINGLE]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def write_header(file: BinaryIO, tensors: Sequence[NewTensor]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.size],
        }
        offset += tensor.size
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % 8)  # the format wants the tensors at a multiple of 8 bytes
    file.write(struct.pack("<Q", len(data)) + data)


def iterate_bytes(tensor: Tensor) -> Iterator[memoryview]:
    """Yield the bytes of `tensor`."""
    import torch

    flat = tensor.contiguous().reshape(-1)
    if flat.numel():
        yield memoryview(flat.view(torch.uint8).numpy())
