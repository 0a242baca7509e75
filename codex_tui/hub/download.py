"""Datasets of the Hub: fetched into its local cache, usable offline afterwards."""

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
from codex_tui.base.progress import OnProgress
from codex_tui.hub.client import AGAIN, Connection, bar, connected, is_unreachable, repo_id
from training.contract.files import name_path_in_errors
from training.dataset.records import SUFFIXES

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

DATA_FILES = [f"*{suffix}" for suffix in SUFFIXES]
NO_DATA = [".*", "*/.*", "*dataset_info.json", "*dataset_infos.json"]
RESUMED_FROM = 8 * 2**20
"""Bytes. The library begins a file anew when the line broke for good; one larger than this is gone on with."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """A dataset in the cache. `folder` is the snapshot its files lie in; `offline`: the Hub could not be asked."""

    repo: str
    files: list[Path]
    revision: str
    folder: Path
    offline: bool = False


def fetch_dataset(repo: str, revision: str | None, report: OnProgress) -> tuple[list[Path], str]:
    """The data files of the dataset repository `repo` in the Hub's cache, and the commit they are of.

    Without a network the cache answers, where it has all of that revision. Raises CodexError.
    """
    found = fetch(repo, revision, report)
    return found.files, found.revision


def fetch(repo: str, revision: str | None, report: OnProgress) -> Fetched:
    """Raises CodexError."""
    repo = repo_id(repo)
    with connected(repo, "dataset", report) as hub:
        if revision and _COMMIT.fullmatch(revision) and (kept := _kept(repo, revision)):
            return _with_data(kept)
        try:
            info = hub.api.dataset_info(repo, revision=revision, files_metadata=True, timeout=10)
        except Exception as error:
            if is_unreachable(error) and (kept := _kept(repo, revision, offline=True)):
                return _with_data(kept)
            raise
        with name_path_in_errors(hub.cache):
            return _with_data(_download(hub, info, revision))


def _download(hub: Connection, info: DatasetInfo, revision: str | None) -> Fetched:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    commit = info.sha or ""
    siblings = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    for name in filter_repo_objects(siblings, allow_patterns=DATA_FILES, ignore_patterns=NO_DATA):
        if siblings[name] > RESUMED_FROM:
            _go_on(hub, name, commit)
    hub.step(f"fetching {hub.repo}")
    folder = snapshot_download(
        hub.repo,
        repo_type="dataset",
        revision=revision,
        allow_patterns=DATA_FILES,
        ignore_patterns=NO_DATA,
        tqdm_class=bar(hub.doing, hub.report),
    )
    return _at(hub.repo, Path(folder))


def _go_on(hub: Connection, name: str, commit: str) -> None:
    """Puts a large file into the cache's blobs, going on where an earlier try ended."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    found = hub.look(name, commit)
    blobs = hub.cache / f"datasets--{hub.repo.replace('/', '--')}" / "blobs"
    if found is None or not _SHA256.fullmatch(found.etag) or (blobs / found.etag).exists():
        return  # without a checksum there is no knowing whether two halves fit
    partial = blobs / f"{found.etag}.codex-tui"
    blobs.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(hub.repo, name, repo_type="dataset", revision=commit, endpoint=hub.api.endpoint)
    hub.step(f"fetching {name}", total=found.size)
    with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another process fetches it; the library takes it whole
        size = file.seek(0, os.SEEK_END)
        http_get(
            url,
            file,
            resume_size=size if size <= found.size else 0,
            headers=build_hf_headers(),
            expected_size=found.size,
            tqdm_class=bar(hub.doing, hub.report),
        )
        file.flush()
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != found.etag:
            partial.unlink()
            raise CodexError(f"{name} arrived damaged from {hub.repo}.", AGAIN)
        partial.replace(blobs / found.etag)


def _kept(repo: str, revision: str | None, *, offline: bool = False) -> Fetched | None:
    """What the cache has of that revision, where it has all of it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        folder = snapshot_download(
            repo,
            repo_type="dataset",
            revision=revision,
            allow_patterns=DATA_FILES,
            ignore_patterns=NO_DATA,
            local_files_only=True,
        )
        return _at(repo, Path(folder), offline=offline)
    return None


def _at(repo: str, folder: Path, *, offline: bool = False) -> Fetched:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return Fetched(repo, files, folder.name, folder, offline)


def _with_data(found: Fetched) -> Fetched:
    if not found.files:
        kinds = ", ".join(SUFFIXES)
        raise BadInput(f"{found.repo} has no data file.", f"The name of one ends in one of {kinds}.")
    return found


def put(found: Fetched, folder: Path, *, replace: bool = False) -> list[Path]:
    """Copies of the files in `folder`. Where one there differs: BadInput and nothing copied, or it is replaced."""
    targets = [(path, folder / path.relative_to(found.folder)) for path in found.files]
    changed = [pair for pair in targets if not pair[1].exists() or not filecmp.cmp(*pair, shallow=False)]
    in_the_way = [target for _, target in changed if target.exists()]
    if in_the_way and not replace:
        raise BadInput(f"{in_the_way[0]} is there already and differs.", "Give another folder, or add --replace.")
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
