"""Keeps what is known of ended runs in one file of the cache folder, so that their events are not read again.

A summary is used only while every file that it was made from is the same: inode, size, and the times of the last
modification and of the last change of the inode, which nobody can set. The file has a checksum of itself. Whatever does
not match is ignored, and the run is read again. The file can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from codex_tui import __version__
from codex_tui.base.checked_file import read_checked, write_checked
from codex_tui.base.locations import cache_home
from codex_tui.runs.summary import RunSummary
from training.contract import files
from training.contract.checkpoints import PREFIX, RESUME_FILES
from training.contract.run_directory import ADAPTER_CONFIG, RunDirectory

FORMAT = 7
"""Increase this when the same events give another summary, so that older summaries are ignored. A change of the fields
of `RunSummary` needs no increase."""
MIN_AGE_SECONDS = 2.0
"""A file that changed this recently may change again without a new time, because the kernel's clock ticks slowly."""
MAX_SUMMARY_BYTES = 16 * 1024
MAX_CACHE_BYTES = 64 * 2**20  # more than ten thousand runs with judgements need
MAX_FOLDERS = 4  # runs folders, such as those of several CODEX_TUI_HOMEs with one cache
DIGEST_BYTES = 16
_FILES = (
    "", "/events.jsonl", "/config.json", "/process.json", "/exit.json", "/control", "/trainer.log", "/profile.toml",
    "/note.txt", "/adapter", f"/adapter/{ADAPTER_CONFIG}", "/checkpoints", "/judgements",
)  # fmt: skip


_Identity = tuple[int, int, int, int]
"""Inode, size, and the times of the last modification and of the last change of the inode."""


class _Entry(msgspec.Struct, frozen=True):
    """What is known of one run. `files` is the identity of all files that `summary` was made from."""

    files: bytes
    summary: RunSummary


class _Content(msgspec.Struct):
    version: str
    runs_home: str
    entries: dict[str, _Entry]  # by the run's name


class SummaryCache:
    """The summaries of the ended runs in `home`."""

    def __init__(self, home: Path) -> None:
        self._home = str(home)
        self._path = cache_home() / "summaries" / hashlib.sha256(os.fsencode(home)).hexdigest()[:32]
        self._entries = self._load()
        self._changed = False

    def find(self, name: str) -> RunSummary | None:
        """Return the summary of the run called `name`, or None if there is none for its files as they are now."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        identity, _ = _identify_files(f"{self._home}/{name}", entry.summary)
        return entry.summary if entry.files == identity else None

    def add(self, run: RunDirectory, summary: RunSummary, began: float) -> None:
        """Keep the summary of an ended run. `began` is the Unix time at which the reading of its files began: a run
        that has changed since, or just before, is not kept."""
        identity, changed_at = _identify_files(str(run.path), summary)
        if not summary.ended or changed_at > began - MIN_AGE_SECONDS or run.is_live():
            return
        with suppress(ValueError, TypeError, OverflowError):  # a damaged file may give a value that can't be kept
            run.name.encode()  # nor can a name that is not UTF-8
            if len(msgspec.msgpack.encode(summary)) <= MAX_SUMMARY_BYTES:
                self._entries[run.name] = _Entry(identity, summary)
                self._changed = True

    def save(self, names: Collection[str]) -> None:
        """Write the summaries of the runs called `names`. Does nothing if none is new or the cache can't be written."""
        gone = self._entries.keys() - set(names)
        if not (self._changed or gone):
            return
        entries = {name: entry for name, entry in self._entries.items() if name not in gone}
        with suppress(OSError, ValueError):  # ValueError: a name that is not UTF-8
            write_checked(self._path, _Content(_describe_version(), self._home, entries))
            files.delete_oldest(self._path.parent, "[0-9a-f]*", MAX_FOLDERS)

    def _load(self) -> dict[str, _Entry]:
        content = read_checked(self._path, _Content, MAX_CACHE_BYTES)
        if content is None or (content.version, content.runs_home) != (_describe_version(), self._home):
            return {}
        return content.entries


def _identify_files(directory: str, summary: RunSummary) -> tuple[bytes, float]:
    """Return a digest of what the kernel says about the files that `summary` depends on, and the Unix time of their
    last change. A run that is done is not resumed, so the files inside its checkpoints do not matter."""
    checkpoints = f"{directory}/checkpoints"
    try:
        folders = sorted(name for name in os.listdir(checkpoints) if name.startswith(PREFIX))  # noqa: PTH208
    except OSError:
        folders = []
    files_inside = () if summary.status == "done" else RESUME_FILES
    paths = [directory + file for file in _FILES]
    paths += [f"{directory}/judgements/{one.name}.json" for one in summary.judgements]
    for folder in folders:
        paths += [f"{checkpoints}/{folder}", *(f"{checkpoints}/{folder}/{file}" for file in files_inside)]
    seen: list[object] = [directory, *folders]
    changed_at = 0
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116  half the time of Path.stat
        except OSError:
            seen.append(None)
        else:
            seen.append(_identify(status))
            changed_at = max(changed_at, status.st_ctime_ns)
    digest = hashlib.blake2b(repr(seen).encode(errors="surrogateescape"), digest_size=DIGEST_BYTES).digest()
    return digest, changed_at / 1e9


def _identify(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _describe_version() -> str:
    return f"{__version__} format {FORMAT} {' '.join(RunSummary.__struct_fields__)}"
