"""Compares a local dataset file with the one in a repository of the Hub."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.hub.cards import FileContent, find_rows_on_card
from codex_tui.hub.client import Connection, RemoteFile, connect, make_bar
from codex_tui.hub.download import DATA_FILES, NO_DATA
from codex_tui.hub.push import LocalFile
from training.contract.card_text import CARD
from training.contract.files import name_path_in_errors
from training.dataset.formats import Unreadable
from training.dataset.records import BadRow, records
from training.dataset.shapes import Tally, read_row

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

MAX_FETCHED_BYTES = 64 * 2**20
"""A file up to this size is downloaded to count its rows if the card does not have the number."""
ROWS_PER_REPORT = 2000


@dataclass(frozen=True)
class RemoteDataset:
    """A data file on the Hub. `modified` is in Unix seconds. A value is None if it is not known."""

    name: str
    size: int
    sha256: str | None
    rows: int | None
    revision: str
    modified: float | None
    private: bool


@dataclass(frozen=True)
class Comparison:
    """A local data file and the one on the Hub. `remote` is None if the repository has no such file."""

    local: LocalFile
    local_rows: int
    local_modified: float
    remote: RemoteDataset | None

    @property
    def newer(self) -> Literal["same", "local", "remote", "unknown"]:
        """Which file is newer. "unknown" if they differ and the Hub gives no date."""
        if self.remote is None:
            return "local"
        if self.remote.sha256 == self.local.sha256:
            return "same"
        if self.remote.modified is None:
            return "unknown"
        return "local" if self.local_modified >= self.remote.modified else "remote"


def count_rows(path: Path, report: OnProgress) -> FileContent:
    """Count the rows of a data file and find its shape and columns. Raises BadInput if it is no readable data file, and
    OSError if it can't be opened."""
    tally, rows, bad = Tally(), 0, 0
    try:
        for record in records(path):
            rows += 1
            try:
                tally.add(read_row(record))
            except BadRow:
                tally.add_bad(record)
                bad += 1
            if rows % ROWS_PER_REPORT == 0:
                report(Progress(f"counting the rows of {path.name}", rows, unit="rows"))
    except Unreadable as problem:
        raise BadInput(problem.message, problem.hint) from None
    reading = tally.reading
    return FileContent(rows, bad, reading.shape, reading.used, reading.ignored)


def compare(repo: str, local: LocalFile, report: OnProgress) -> Comparison:
    """Compare `local` with its mirror in `repo`. Raises CodexError for errors of the Hub, OSError for files."""
    rows = count_rows(local.path, report).rows
    with connect(repo, "dataset", report) as hub:
        report(Progress(f"asking the Hub about {repo}"))
        info = hub.api.dataset_info(repo, timeout=10)
        file = hub.find_file(local.name) or _find_only_file(hub, info)
        remote = _describe_remote(hub, info, file, local, rows) if file else None
    return Comparison(local, rows, local.path.stat().st_mtime, remote)


def _find_only_file(hub: Connection, info: DatasetInfo) -> RemoteFile | None:
    """Find the data file under another name, if the repository has exactly one."""
    from huggingface_hub.utils import filter_repo_objects

    names = [sibling.rfilename for sibling in info.siblings or ()]
    data = list(filter_repo_objects(names, allow_patterns=DATA_FILES, ignore_patterns=NO_DATA))
    return hub.find_file(data[0]) if len(data) == 1 else None


def _describe_remote(
    hub: Connection, info: DatasetInfo, file: RemoteFile, local: LocalFile, local_rows: int
) -> RemoteDataset:
    sha256, rows = (file.etag if len(file.etag) == 64 else None), None
    if local.matches(file.etag):
        sha256, rows = local.sha256, local_rows
    else:
        rows = _read_rows_from_card(hub, file.name, sha256) if sha256 else None
    if rows is None and file.size <= MAX_FETCHED_BYTES:
        path = _fetch(hub, file)
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        with suppress(BadInput):  # Parquet, which only the training environment can read
            rows = count_rows(path, hub.report).rows
    return RemoteDataset(
        file.name,
        file.size,
        sha256,
        rows,
        file.commit or info.sha or "",
        _find_modified(hub, info, file.name),
        info.private is not False,
    )


def _read_rows_from_card(hub: Connection, name: str, sha256: str) -> int | None:
    card = hub.find_file(CARD)
    if card is None or card.size > MAX_FETCHED_BYTES:
        return None
    return find_rows_on_card(_fetch(hub, card).read_text(encoding="utf-8", errors="replace"), name, sha256)


def _fetch(hub: Connection, file: RemoteFile) -> Path:
    hub.start_step(f"fetching {file.name}", 0, file.size)
    hub.limits.max_file_bytes = file.size or None
    with name_path_in_errors(hub.cache):
        downloaded = hub.api.hf_hub_download(
            hub.repo,
            file.name,
            repo_type="dataset",
            revision=file.commit or None,
            tqdm_class=make_bar(f"fetching {file.name}", hub.report),
        )
    return Path(downloaded)


def _find_modified(hub: Connection, info: DatasetInfo, name: str) -> float | None:
    """Return the date of the file in Unix seconds, or of the repository if the Hub has none for the file. A
    repository can be newer than its data, because its card may have changed."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        paths = hub.api.get_paths_info(hub.repo, name, expand=True, repo_type="dataset")
        commit = getattr(paths[0], "last_commit", None) if paths else None
    except (HfHubHTTPError, ValueError, LookupError, TypeError):
        commit = None
    date = commit.date if commit else info.last_modified
    return date.timestamp() if date else None
