"""The folder in which a small file of a run was written. A file with its origin tells a run from a copy of its folder,
which has the same files and must not reach what the original runs on."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class Origin(msgspec.Struct):
    """A run stays the same if its folder is renamed on its disk, and if another disk is mounted in its place. A file
    that an earlier version wrote has no origin."""

    written_in: str = ""
    inode: int = 0

    @classmethod
    def of(cls, folder: Path) -> Origin:
        return cls(os.path.realpath(folder), folder.stat().st_ino)

    def is_another(self, folder: Path) -> bool:
        if not self.written_in or folder.stat().st_ino == self.inode:
            return False
        return os.path.realpath(folder) != self.written_in


def encode(value: msgspec.Struct, folder: Path) -> str:
    """Return `value` as JSON, with the folder where it is written."""
    values = msgspec.to_builtins(value) | msgspec.to_builtins(Origin.of(folder))
    return msgspec.json.encode(values).decode() + "\n"


def is_copied(data: bytes, folder: Path) -> bool:
    """Whether the JSON `data`, which is in `folder`, was written in another folder. Raises ValueError, OSError."""
    return msgspec.json.decode(data, type=Origin).is_another(folder)
