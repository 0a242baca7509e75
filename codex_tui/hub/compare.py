"""A dataset file here against the one in a repository of the Hub."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.hub.cards import Content, rows_on_card
from codex_tui.hub.client import Connection, RemoteFile, bar, connected
from codex_tui.hub.download import DATA_FILES, NO_DATA
from codex_tui.hub.push import CARD, LocalFile
from training.contract.files import name_path_in_errors
from training.dataset.records import BadRow, Unreadable, records
from training.dataset.shapes import Tally, row_of

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

LARGE = 64 * 2**20
"""Bytes: a file up to this size is fetched where nothing else tells its rows."""
TOLD_EVERY = 2000


@dataclass(frozen=True)
class Remote:
    """`modified` are Unix seconds; None is what can't be told without fetching the file."""

    name: str
    size: int
    sha256: str | None
    rows: int | None
    revision: str
    modified: float | None
    private: bool


@dataclass(frozen=True)
class Status:
    """`remote` is None where the repository has no such file."""

    local: LocalFile
    local_rows: int
    local_modified: float
    remote: Remote | None

    @property
    def newer(self) -> Literal["same", "local", "remote", "unknown"]:
        if self.remote is None:
            return "local"
        if self.remote.sha256 == self.local.sha256:
            return "same"
        if self.remote.modified is None:
            return "unknown"
        return "local" if self.local_modified >= self.remote.modified else "remote"


def count(path: Path, report: OnProgress) -> Content:
    """The rows of a data file and how they are read, a row at a time. Raises BadInput and OSError."""
    tally, rows, bad = Tally(), 0, 0
    try:
        for record in records(path):
            rows += 1
            try:
                tally.add(row_of(record))
            except BadRow:
                tally.add_bad(record)
                bad += 1
            if rows % TOLD_EVERY == 0:
                report(Progress(f"counting the rows of {path.name}", rows, unit="rows"))
    except Unreadable as problem:
        raise BadInput(problem.message, problem.hint) from None
    reading = tally.reading
    return Content(rows, bad, reading.shape, reading.used, reading.ignored)


def compare(repo: str, local: LocalFile, report: OnProgress) -> Status:
    """Raises CodexError and OSError."""
    rows = count(local.path, report).rows
    with connected(repo, "dataset", report) as hub:
        info = hub.api.dataset_info(repo, timeout=10)
        found = hub.look(local.name) or _only_file(hub, info)
        remote = _remote(hub, info, found, local, rows) if found else None
    return Status(local, rows, local.path.stat().st_mtime, remote)


def _only_file(hub: Connection, info: DatasetInfo) -> RemoteFile | None:
    """Under another name, where the repository has one data file alone."""
    from huggingface_hub.utils import filter_repo_objects

    names = [sibling.rfilename for sibling in info.siblings or ()]
    data = list(filter_repo_objects(names, allow_patterns=DATA_FILES, ignore_patterns=NO_DATA))
    return hub.look(data[0]) if len(data) == 1 else None


def _remote(hub: Connection, info: DatasetInfo, found: RemoteFile, local: LocalFile, local_rows: int) -> Remote:
    sha256, rows = (found.etag if len(found.etag) == 64 else None), None
    if local.is_at(found.etag):
        sha256, rows = local.sha256, local_rows
    elif (sha256 is None or (rows := _told(hub, found.name, sha256)) is None) and found.size <= LARGE:
        path = _fetch(hub, found)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with suppress(BadInput):  # Parquet, which is read by the training environment
            rows = count(path, hub.report).rows
    return Remote(
        found.name,
        found.size,
        sha256,
        rows,
        found.commit or info.sha or "",
        _modified(hub, info, found.name),
        info.private is not False,
    )


def _told(hub: Connection, name: str, sha256: str) -> int | None:
    card = hub.look(CARD)
    if card is None or card.size > LARGE:
        return None
    return rows_on_card(_fetch(hub, card).read_text(encoding="utf-8", errors="replace"), name, sha256)


def _fetch(hub: Connection, file: RemoteFile) -> Path:
    hub.step(f"fetching {file.name}", 0, file.size)
    with name_path_in_errors(hub.cache):
        found = hub.api.hf_hub_download(
            hub.repo,
            file.name,
            repo_type="dataset",
            revision=file.commit or None,
            tqdm_class=bar(f"fetching {file.name}", hub.report),
        )
    return Path(found)


def _modified(hub: Connection, info: DatasetInfo, name: str) -> float | None:
    """Of the file where the Hub tells it; else of the repository, whose card may be younger than its data."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        paths = hub.api.get_paths_info(hub.repo, name, expand=True, repo_type="dataset")
        commit = getattr(paths[0], "last_commit", None) if paths else None
    except (HfHubHTTPError, ValueError, LookupError, TypeError):
        commit = None
    date = commit.date if commit else info.last_modified
    return date.timestamp() if date else None
