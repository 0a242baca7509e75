"""The file of a judgement, RUN/judgements/NAME.json.

A run may be copied from anywhere, so a file is only read, within limits, and its texts are cleaned before they are
shown.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from training.contract import files
from training.contract.config import UPDATE
from training.contract.judgement import VERSION, Judgement, JudgementHead

MAX_BYTES = 32 * 2**20
MAX_SHOWN = 100  # of the files in a run; a folder with more was not written by this program

T = TypeVar("T")


class JudgementError(Exception):
    """A file that is no judgement, or can't be read. `message` is a sentence, `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


def read(path: Path) -> Judgement:
    """Read the judgement at `path`. Raises JudgementError."""
    return _read(path, Judgement)


def read_head(path: Path) -> JudgementHead:
    """Read the judgement at `path` without its answers. Raises JudgementError."""
    return _read(path, JudgementHead)


def read_heads(folder: Path, max_files: int = MAX_SHOWN) -> Iterator[tuple[Path, JudgementHead]]:
    """Yield the newest judgements in `folder` with their files, the newest first. A file that can't be read is left
    out."""
    for path in list_files(folder)[:max_files]:
        try:
            head = read_head(path)
        except JudgementError:
            continue
        yield path, head


def _read(path: Path, kind: type[T]) -> T:
    again = "Judge the run again, or delete the file."
    try:
        data = files.read(path, MAX_BYTES)
    except OSError as error:
        raise JudgementError(f"{path} can't be read: {error.strerror}.", again) from None
    try:
        version = msgspec.json.decode(data, type=_Version).version
        if version > VERSION:
            raise JudgementError(
                f"{path} was written by a newer Codex TUI (version {version}, this one knows {VERSION}).", UPDATE
            )
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise JudgementError(f"{path} is damaged: {error}.", again) from None


def write(path: Path, judgement: Judgement) -> None:
    """Replace the file at `path` in one step. Raises OSError, and JudgementError if nobody could read it again."""
    make_folder(path.parent)
    content = msgspec.json.format(msgspec.json.encode(judgement), indent=1) + b"\n"
    if len(content) > MAX_BYTES:
        raise JudgementError(
            f"The answers need {len(content) >> 20} MiB, and a judgement may have {MAX_BYTES >> 20} MiB.",
            "Divide the book into several. No answer is lost.",
        )
    files.write_atomically(path, content)


def make_folder(folder: Path) -> None:
    """Make the folder of a run's judgements. Raises OSError, also for a link: in a run that was copied from anywhere,
    it may lead to a folder outside of the run."""
    if folder.is_symlink():
        raise OSError(errno.EINVAL, "it is a link", str(folder))
    folder.mkdir(mode=0o700, exist_ok=True)


def list_files(folder: Path) -> list[Path]:
    """List the files of a run's judgements, the newest first. Leaves out what can't be looked at, such as a link to
    nowhere or a file that was just deleted."""
    times: dict[Path, float] = {}
    with suppress(OSError):  # there is no folder, or nobody may list it
        for path in folder.iterdir():
            if path.suffix == ".json" and not path.name.startswith("."):
                with suppress(OSError):
                    times[path] = path.stat().st_mtime
    return sorted(times, key=times.__getitem__, reverse=True)[:MAX_SHOWN]


class _Version(msgspec.Struct):
    version: int
