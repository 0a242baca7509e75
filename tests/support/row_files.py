"""Files of rows and their index, and a plain reading to hold it against."""

from __future__ import annotations

from pathlib import Path

from training.dataset.index import RowIndex
from training.dataset.source import Source


def source(folder: Path, *contents: bytes, suffix: str = ".jsonl") -> Source:
    folder.mkdir(exist_ok=True)
    files = tuple(folder / f"{number}{suffix}" for number in range(len(contents)))
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)
    return Source("rows", files)


def opened(tmp_path: Path, *contents: bytes, suffix: str = ".jsonl") -> RowIndex:
    return RowIndex.open(source(tmp_path, *contents, suffix=suffix), tmp_path / "cache")


def rows_and_lines(content: bytes) -> list[tuple[int, bytes]]:
    """A plain reading from the beginning."""
    split = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [(number, text.strip()) for number, text in enumerate(split, 1) if text.strip()]
