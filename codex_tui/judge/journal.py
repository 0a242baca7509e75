"""Keeps every answer and every loss of a run in RUN/judgements/answers.jsonl, as soon as it is there.

So a judgement that is killed loses nothing, and the same model is never asked the same question twice with the same
settings. A line that is damaged is ignored: its question is asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import Any, Literal

import msgspec

from training.contract import files
from training.contract.judgement import Answer, Loss, Proof
from training.contract.judgement_file import make_folder
from training.contract.run_directory import RunDirectory
from training.contract.verdicts import Choice

NAME = "answers.jsonl"
MAX_BYTES = 64 * 2**20


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    key: str
    answer: Answer | None = None
    loss: Loss | None = None
    proof: Proof | None = None
    device: str = ""
    choice: Choice | Literal["none"] | None = None  # of the judge model, for one order of the answers


class Journal:
    """The entries of `run`, by their keys. Use it as a context manager."""

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.judgements / NAME
        self._entries: dict[str, Entry] = {}
        self._descriptor: int | None = None
        self.problem = ""
        """Why earlier answers can't be used; "" if they can."""
        self._read()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def find(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def add(self, entry: Entry) -> None:
        """Keep `entry`. Raises OSError."""
        self._entries[entry.key] = entry
        if self._descriptor is None:
            self._descriptor = self._open()
        with files.name_path_in_errors(self._path):
            os.write(self._descriptor, msgspec.json.encode(entry) + b"\n")

    def _read(self) -> None:
        try:
            data = files.read(self._path, MAX_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            self.problem = f"Earlier answers in {self._path} can't be used ({error.strerror}), so all are asked again."
            return
        decoder = msgspec.json.Decoder(Entry)
        for line in data.split(b"\n"):
            with suppress(ValueError, RecursionError):
                entry = decoder.decode(line)
                self._entries[entry.key] = entry

    def _open(self) -> int:
        make_folder(self._path.parent)
        if self.problem and self._path.is_file() and not self._path.is_symlink():  # it is too large: begin a new one
            self._path.unlink()
        descriptor = files.open_to_append(self._path)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a kill left half of a line
            os.write(descriptor, b"\n")
        return descriptor


def make_key(kind: str, *depends_on: Any) -> str:
    """Return the key of a result that depends on these values (any that JSON has)."""
    return hashlib.sha256(json.dumps([kind, *depends_on], sort_keys=True).encode()).hexdigest()[:32]
