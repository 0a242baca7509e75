"""Files as a tar stream, to and from another machine."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Mapping
from gzip import GzipFile
from pathlib import Path, PurePosixPath
from typing import IO, cast

from codex_tui.base.progress import OnProgress, Progress

REPORT_SECONDS = 0.1
COMPRESSION = 1  # the fastest: it keeps up with a local network, and most of a dataset's text goes


def pack(files: Mapping[str, Path | bytes], output: IO[bytes], step: str, report: OnProgress) -> None:
    """Write a compressed archive with `files`: the content, the file or the folder for each relative name. Links are
    followed, and only the owner may read the files over there. Raises OSError."""
    with GzipFile(fileobj=output, mode="wb", compresslevel=COMPRESSION) as compressed:
        counter = _Counter(step, sum(map(_measure, files.values())), report, write=compressed.write)
        with tarfile.open(fileobj=cast(IO[bytes], counter), mode="w|", dereference=True) as tar:
            _add(tar, files)


def _add(tar: tarfile.TarFile, files: Mapping[str, Path | bytes]) -> None:
    for name, content in files.items():
        if isinstance(content, bytes):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
        else:
            tar.add(content, name, filter=_make_private)


def unpack(read: Callable[[int], bytes], target: Path, step: str, report: OnProgress, total: int) -> None:
    """Unpack a plain archive into the new folder `target`. No file is written outside of it. Raises OSError, and
    tarfile.TarError if the archive is damaged or has such a file."""
    target.mkdir(mode=0o700)
    counter = _Counter(step, total, report, read=read)
    with tarfile.open(fileobj=cast(IO[bytes], counter), mode="r|") as tar:
        # Python 3.11.0 to 3.11.3 have no filters, so that each member is checked here as well.
        tar.extraction_filter = staticmethod(getattr(tarfile, "data_filter", lambda member, _: member))
        for member in tar:
            _refuse_unsafe(member)
            tar.extract(_make_private(member), target)


def _refuse_unsafe(member: tarfile.TarInfo) -> None:
    """Raise TarError for a member that is no plain file or folder below the one that the archive is unpacked into."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        raise tarfile.TarError(f"{member.name} is not a file or a folder in the archive")


def _measure(content: Path | bytes) -> int:
    if isinstance(content, bytes):
        return len(content)
    if content.is_dir():
        return sum(path.stat().st_size for path in content.rglob("*") if path.is_file())
    return content.stat().st_size


def _make_private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode &= 0o700
    return member


class _Counter:
    """A file for tarfile that reports how many bytes pass through it."""

    def __init__(
        self,
        step: str,
        total: int,
        report: OnProgress,
        *,
        read: Callable[[int], bytes] | None = None,
        write: Callable[[bytes], object] | None = None,
    ) -> None:
        self._step, self._total, self._report = step, total, report
        self._read, self._write = read, write
        self._done, self._reported_at = 0, 0.0

    def read(self, size: int) -> bytes:
        assert self._read is not None
        data = self._read(size)
        self._count(len(data))
        return data

    def write(self, data: bytes) -> int:
        assert self._write is not None
        self._write(data)
        self._count(len(data))
        return len(data)

    def _count(self, count: int) -> None:
        self._done += count
        if (now := time.monotonic()) - self._reported_at > REPORT_SECONDS:
            self._reported_at = now
            self._report(Progress(self._step, min(self._done, self._total or self._done), self._total))
