"""Merges an adapter into its base model, tensor by tensor. In memory are the change of one tensor, and a block of its
rows; the whole tensor if it has 4 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from training.contract.failures import TrainingFailure
from training.contract.files import name_path_in_errors
from training.export.adapter import Adapter, Change
from training.export.base import Base
from training.export.model_files import write_json
from training.export.tensors import (
    INDEX,
    NewTensor,
    divide_into_shards,
    iterate_bytes,
    name_shards,
    write_header,
)

if TYPE_CHECKING:
    from torch import Tensor

HEAD = "lm_head.weight"
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")


@dataclass(frozen=True)
class Merge:
    """What the merged model has: each tensor, the tensor of the base that it is made from, and the change to it.

    `untied`: the base has one matrix for input and output, and the adapter changes only one of them or each in its own
    way. Then the merged model has both.
    """

    base: Base
    adapter: Adapter
    tensors: dict[str, tuple[str, Change | None]]
    dtype: str
    untied: bool

    @classmethod
    def plan(cls, base: Base, adapter: Adapter, dtype: str | None = None) -> Merge:
        """Find the tensor for each change. The result has the number type `dtype`; None: that of the base. Raises
        TrainingFailure if the base lacks a tensor, or if the sizes differ."""
        changes = {_find_name(base, name): change for name, change in adapter.changes.items()}
        embedding = _find_embedding(base)
        untied = HEAD not in base.tensors and bool(embedding) and bool({HEAD, embedding} & changes.keys())
        tensors = {name: (name, changes.pop(name, None)) for name in base.tensors}
        if untied:
            tensors[HEAD] = (embedding, changes.pop(HEAD, None))
        if changes:
            raise TrainingFailure(
                "bad_config",
                f"The adapter in {adapter.folder} changes {next(iter(changes))}, which the files in {base.folder} "
                "do not have.",
                "It was trained on another model, or on one whose files have other names. Export the adapter itself: "
                "--to adapter",
            )
        merge = cls(base, adapter, tensors, dtype or base.dtype, untied)
        for name, (source, change) in tensors.items():
            if change:
                merge._check_shape(name, source, change)
        return merge

    @property
    def adapted(self) -> int:
        return sum(change is not None for _, change in self.tensors.values())

    @property
    def parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.list_new())

    @property
    def size(self) -> int:
        return sum(tensor.size for tensor in self.list_new())

    def list_new(self) -> list[NewTensor]:
        """List the tensors of the merged model in the order in which they are written."""
        return [
            NewTensor(
                name,
                self._find_dtype(source),
                change.replacement.shape if change and change.replacement else self.base.find_shape(source),
            )
            for name, (source, change) in self.tensors.items()
        ]

    def _find_dtype(self, source: str) -> str:
        """Return the number type of a tensor in the result. One that the base has in a type of its own keeps it."""
        loaded = self.base.find_dtype(source)
        return self.dtype if loaded == self.base.dtype else loaded

    def find_vocabulary(self) -> int | None:
        """Return the number of tokens if the adapter has an embedding with another number of them than the base."""
        source, change = self.tensors.get(_find_embedding(self.base), ("", None))
        if change is None or change.replacement is None:
            return None
        rows = change.replacement.shape[0]
        return None if rows == self.base.find_shape(source)[0] else rows

    def _check_shape(self, name: str, source: str, change: Change) -> None:
        shape = self.base.find_shape(source)
        fits = True
        if change.replacement is not None:
            fits = change.replacement.shape[1:] == shape[1:] and len(change.replacement.shape) == len(shape)
            shape = change.replacement.shape
        if change.parts:
            fits = fits and change.find_shape(self.adapter.fan_in_fan_out) == shape
        if not fits:
            raise TrainingFailure(
                "bad_config",
                f"The adapter in {self.adapter.folder} does not fit {name}, which has the shape "
                f"{list(self.base.find_shape(source))} in {self.base.folder}.",
                "Give the base model that it was trained on.",
            )

    def write(self, folder: Path, report: Callable[[int, int], None]) -> list[str]:
        """Write the weights into `folder`. Returns the names of the files. `report` gets the bytes that are done, and
        all. Raises TrainingFailure, OSError."""
        shards = divide_into_shards(self.list_new())
        total, done = self.size, 0
        names = name_shards(len(shards))
        for name, shard in zip(names, shards, strict=True):
            path = folder / name
            with name_path_in_errors(path), path.open("wb") as file:
                write_header(file, shard)
                for tensor in shard:
                    for data in self._iterate_bytes(tensor.name):
                        file.write(data)
                        done += len(data)
                        report(done, total)
        if len(names) > 1:
            self._write_index(folder, dict(zip(names, shards, strict=True)), total)
            names.append(INDEX)
        return names

    def _iterate_bytes(self, name: str) -> Iterator[memoryview]:
        import torch

        source, change = self.tensors[name]
        loaded, dtype = (getattr(torch, name) for name in (self.base.find_dtype(source), self._find_dtype(source)))
        whole = bool(change and self.adapter.needs_whole(change))
        delta = self.adapter.compute_delta(change) if change and change.parts else None
        blocks: Iterable[tuple[int, Tensor]]
        if change and change.replacement is not None:
            blocks = ((first, block.to(loaded)) for first, block in change.replacement.iterate_blocks(whole=whole))
        else:
            blocks = self.base.iterate_blocks(source, whole=whole)
        for first, block in blocks:
            if change and delta is not None:
                block = self.adapter.apply(change, delta, block.float(), first)
            yield from iterate_bytes(block.to(dtype))

    def _write_index(self, folder: Path, shards: dict[str, list[NewTensor]], total: int) -> None:
        weights = {tensor.name: name for name, shard in shards.items() for tensor in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(weights.items()))})


def _find_name(base: Base, name: str) -> str:
    """Return the base's name of the tensor that PEFT knows as `name`. The files of some models leave out the first part
    of their names."""
    if name in base.tensors or name == HEAD:
        return name
    shorter = [known for known in base.tensors if name.endswith(f".{known}") or known.endswith(f".{name}")]
    return shorter[0] if len(shorter) == 1 else name


def _find_embedding(base: Base) -> str:
    found = [name for name in base.tensors if name.endswith(EMBEDDINGS)]
    return found[0] if len(found) == 1 else ""
