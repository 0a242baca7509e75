"""Downloads datasets of the Hub into its local cache, where they can be used offline."""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.hub.client import RUN_AGAIN, Connection, connect, is_unreachable, make_bar, parse_repo_id
from training.contract.files import name_path_in_errors
from training.dataset.formats import DATA_SUFFIXES, SUFFIXES, is_data_file

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

DATA_FILES = [f"*{suffix}" for suffix in DATA_SUFFIXES]
FETCHED_FILES = ["README.md", *DATA_FILES]  # the README.md lists the configurations
NO_DATA = [".*", "*/.*", "*dataset_info.json", "*dataset_infos.json"]
MIN_RESUMED_BYTES = 8 * 2**20
"""After a broken connection the library downloads a file again from the start. A larger file than this is resumed."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FetchedDataset:
    """A dataset in the cache. `folder` is the snapshot folder of its files. `offline`: the Hub could not be reached."""

    repo: str
    files: list[Path]
    revision: str
    folder: Path
    offline: bool = False


def fetch(repo: str, revision: str | None, report: OnProgress) -> FetchedDataset:
    """Download the dataset repository `repo` into the Hub's cache.

    Without a network, uses the cache if it has the whole revision. Raises CodexError if the download fails.
    """
    repo = parse_repo_id(repo)
    with connect(repo, "dataset", report) as hub:
        if revision and _COMMIT.fullmatch(revision) and (cached := _find_cached(repo, revision)):
            return _require_data(cached)
        try:
            report(Progress(f"asking the Hub about {repo}"))
            info = hub.api.dataset_info(repo, revision=revision, files_metadata=True, timeout=10)
        except Exception as error:
            if is_unreachable(error) and (cached := _find_cached(repo, revision, offline=True)):
                return _require_data(cached)
            raise
        with name_path_in_errors(hub.cache):
            return _require_data(_download(hub, info, revision))


def _download(hub: Connection, info: DatasetInfo, revision: str | None) -> FetchedDataset:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    commit = info.sha or ""
    siblings = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    names = list(filter_repo_objects(siblings, allow_patterns=FETCHED_FILES, ignore_patterns=NO_DATA))
    hub.limits.max_file_bytes = max((siblings[name] for name in names), default=0) or None
    for name in names:
        if siblings[name] > MIN_RESUMED_BYTES:
            resume_large_file(hub, name, commit)
    hub.start_step(f"fetching {hub.repo}")
    folder = snapshot_download(
        hub.repo,
        repo_type="dataset",
        revision=revision,
        allow_patterns=FETCHED_FILES,
        ignore_patterns=NO_DATA,
        tqdm_class=make_bar(hub.action, hub.report),
    )
    return _list_snapshot(hub.repo, Path(folder))


def resume_large_file(hub: Connection, name: str, commit: str) -> None:
    """Download a large file into the blobs of the cache. Continues where an earlier download broke off."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    file_info = hub.find_file(name, commit)
    blobs = hub.cache / f"{hub.kind}s--{hub.repo.replace('/', '--')}" / "blobs"
    if file_info is None or not _SHA256.fullmatch(file_info.etag) or (blobs / file_info.etag).exists():
        return  # without a checksum, two parts of a file can't be checked
    partial = blobs / f"{file_info.etag}.codex-tui"
    blobs.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(hub.repo, name, repo_type=hub.kind, revision=commit, endpoint=hub.api.endpoint)
    hub.start_step(f"fetching {name}", total=file_info.size)
    with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another process downloads it; then the library downloads it as usual
        size = file.seek(0, os.SEEK_END)
        try:
            http_get(
                url,
                file,
                resume_size=size if size <= file_info.size else 0,
                headers=build_hf_headers(),
                expected_size=file_info.size,
                tqdm_class=make_bar(hub.action, hub.report),
            )
        except CodexError:  # the answer was larger than announced, so nothing of it can be right
            partial.unlink()
            raise
        file.flush()
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != file_info.etag:
            partial.unlink()
            raise CodexError(f"{name} arrived damaged from {hub.repo}.", RUN_AGAIN)
        partial.replace(blobs / file_info.etag)


def _find_cached(repo: str, revision: str | None, *, offline: bool = False) -> FetchedDataset | None:
    """Find the revision in the cache. Returns None unless the cache has all of its files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        folder = snapshot_download(
            repo,
            repo_type="dataset",
            revision=revision,
            allow_patterns=FETCHED_FILES,
            ignore_patterns=NO_DATA,
            local_files_only=True,
        )
        return _list_snapshot(repo, Path(folder), offline=offline)
    return None


def _list_snapshot(repo: str, folder: Path, *, offline: bool = False) -> FetchedDataset:
    files = sorted(path for path in folder.rglob("*") if is_data_file(path.name) and path.is_file())
    return FetchedDataset(repo, files, folder.name, folder, offline)


def _require_data(dataset: FetchedDataset) -> FetchedDataset:
    if not dataset.files:
        suffixes = ", ".join(SUFFIXES)
        raise BadInput(f"{dataset.repo} has no data file.", f"Data files end in {suffixes}.")
    return dataset


def copy_files(dataset: FetchedDataset, folder: Path, *, replace: bool = False) -> list[Path]:
    """Copy the files of `dataset` into `folder`. Returns the copies. If a file there differs, it is replaced with
    `replace`; otherwise this raises BadInput and copies nothing."""
    targets = [(path, folder / path.relative_to(dataset.folder)) for path in dataset.files]
    changed = [pair for pair in targets if not pair[1].exists() or not filecmp.cmp(*pair, shallow=False)]
    conflicts = [target for _, target in changed if target.exists()]
    if conflicts and not replace:
        raise BadInput(f"{conflicts[0]} already exists and differs.", "Choose another folder, or add --replace.")
    for path, target in changed:
        temporary = target.with_name(f".{target.name}.codex-tui")
        with name_path_in_errors(target):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    return [target for _, target in targets]
