"""Replaces small files in one step, and reads only regular files."""

from __future__ import annotations

import errno
import os
import resource
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".tmp"
ABANDONED_AFTER_SECONDS = 60.0  # writing a small file takes less time
MAX_BYTES = 4 * 2**20  # the largest file that `read` accepts; JSON takes up to fifty times as much memory


def write_atomically(path: Path, content: str | bytes, *, sync: bool = True) -> None:
    """Replaces `path` (0600) as `open_replacement` does. Raises OSError, UnicodeEncodeError."""
    data = content.encode() if isinstance(content, str) else content
    with name_path_in_errors(path), open_replacement(path, sync=sync) as file:
        file.write(data)


@contextmanager
def open_replacement(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Yields a new file (0600) that takes the place of `path` at the end, in one step. A reader of `path` sees the old
    content or the new, never half of one. If anything fails, `path` stays as it was.

    `sync=False` saves the time that a disk needs, for what may be lost when the power fails. Raises OSError.
    """
    # What `tempfile` would do, but its imports take 1 MB of memory in each keeper.
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}{UNFINISHED}")
    with name_path_in_errors(path):
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        with name_path_in_errors(path):
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def name_path_in_errors(path: Path) -> Iterator[None]:
    """Put `path` into every OSError of the block. Without it, an error of a full disk names no file, and an error of
    a temporary file names a file that a person does not know."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def reaches_size_limit(path: Path) -> bool:
    """Return whether `path` is as large as the shell's limit (`ulimit -f`) allows."""
    limit = find_size_limit()
    return limit is not None and path.is_file() and path.stat().st_size >= limit


def find_size_limit() -> int | None:
    """Return the bytes that a file of this process may have at most (`ulimit -f`); None if the shell sets no limit."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def describe_size_limit() -> tuple[str, str]:
    """Return why a file can't become larger, and what to do about it."""
    if (limit := find_size_limit()) is None:
        return "its file system allows no larger file", "Use a folder on another file system: FAT ends at 4 GB a file."
    return (
        f"a file may have {limit:,} bytes at most (ulimit -f)",
        "Nothing is damaged. Raise the limit with `ulimit -f unlimited`, then try it again.",
    )


def clear_unfinished(folder: Path) -> None:
    """Deletes the files in `folder` that a process was writing, as `open_replacement` does, when it was killed."""
    for path in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                path.unlink()


def delete_oldest(folder: Path, pattern: str, max_files: int) -> None:
    """Deletes all but the newest `max_files` files of `pattern` in a cache, and the unfinished files of killed
    processes."""
    clear_unfinished(folder)
    with suppress(OSError):  # another process may be deleting files too
        newest_first = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in newest_first[max_files:]:
            old.unlink(missing_ok=True)


def open_file(path: Path) -> BufferedReader:
    """Opens `path` to read. Raises OSError, also if it is not a regular file: a pipe would block the reader for ever,
    and a device may have no end."""
    return os.fdopen(_open_regular(path, os.O_RDONLY), "rb")


def open_to_append(path: Path) -> int:
    """Returns a descriptor that appends to `path`. Creates the file (0600) if it is missing.

    Raises OSError, also for a link: in a run that was copied from anywhere, it may lead to a file outside of the run.
    """
    if path.is_symlink():
        raise OSError(errno.EINVAL, "it is a link", str(path))
    # With O_WRONLY, a pipe would wait for a reader.
    return _open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)


def _open_regular(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return descriptor


def read(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a small file. Raises OSError, also if the file is larger than `max_bytes`."""
    with open_file(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EINVAL, f"it is larger than {max_bytes >> 20} MiB", str(path))
    return data
