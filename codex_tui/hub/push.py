"""Sends changed files and a card to a repository of the Hub, then downloads them again to compare them.

New repositories are private. Everyone can read a public repository at once. So files are sent to a public repository,
or a repository is made public, only if the person passed both --public and --yes-public.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.hub.client import Connection, Kind, connect, make_bar
from training.contract.card_text import CARD
from training.contract.files import name_path_in_errors

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

BLOCK_BYTES = 1 << 20
MAX_CARD_BYTES = 2**20
MAX_READ_BACK_BYTES = 512 * 2**20
DIFFERS, PUSH_AGAIN = "{} in {} differs from the file that was sent.", "Push it again. Your own file is unchanged."
CONFIRM_PUBLIC = "If everyone may read it, add: --public --yes-public"


@dataclass(frozen=True)
class LocalFile:
    """A file here and its `name` in the repository. The Hub's ETag is one of the two checksums."""

    path: Path
    name: str
    size: int
    sha256: str
    git_sha1: str

    def matches(self, etag: str) -> bool:
        """Whether a file of the Hub with this `etag` has the same content."""
        return etag in (self.sha256, self.git_sha1)


@dataclass(frozen=True)
class PushResult:
    """`sent` are the names of the new and changed files. `published`: a private repository was made public."""

    repo: str
    url: str
    private: bool
    created: bool
    published: bool
    sent: tuple[str, ...]
    bytes_sent: int
    revision: str
    files: tuple[LocalFile, ...] = field(repr=False, default=())


def hash_file(path: Path, name: str, report: OnProgress) -> LocalFile:
    """Compute size and checksums of the file. Raises OSError if it can't be read."""
    size = path.stat().st_size
    # SHA-1 is not used for security here: git names its blobs by it.
    large, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    done = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            large.update(block)
            blob.update(block)
            done += len(block)
            report(Progress(f"reading {name}", done, size))
    return LocalFile(path.absolute(), name, size, large.hexdigest(), blob.hexdigest())


def push(
    repo: str,
    kind: Kind,
    files: Sequence[LocalFile],
    card: Callable[[str], str],
    *,
    public: bool = False,
    report: OnProgress,
) -> PushResult:
    """Send `files` and a card to `repo`. `card` gets the present card ("" if there is none) and returns the new one.

    `public` means that the person agreed twice that everyone may read it. Raises CodexError if the push fails.
    """
    with connect(repo, kind, report, writes=True) as hub, _make_scratch() as scratch:
        private = _is_private(hub)
        old, revision = ("", "") if private is None else _download_card(hub, scratch)
        new = scratch / CARD
        with name_path_in_errors(locations.cache_home()):
            new.write_text(card(old), encoding="utf-8")
        local = [*files, hash_file(new, CARD, lambda _: None)]
        missing = [file for file in local if private is None or not _is_uploaded(hub, file)]
        if missing and private is False and not public:
            raise BadInput(f"{repo} is public: everyone can read new files at once.", CONFIRM_PUBLIC)
        if private is None:
            _create(hub, public)
        if missing:
            revision = _send(hub, missing)
            for file in missing:
                _read_back(hub, file, revision, scratch)
        elif not revision:
            revision = hub.api.repo_info(repo, repo_type=kind).sha or ""
        published = public and private is True
        if published:
            hub.start_step(f"making {repo} public")
            hub.api.update_repo_settings(repo, repo_type=kind, private=False)
        sent = tuple(file.name for file in missing)
        size = sum(file.size for file in missing)
        is_private = not public and private is not False
        return PushResult(repo, hub.url, is_private, private is None, published, sent, size, revision, tuple(files))


def _is_private(hub: Connection) -> bool | None:
    """Whether the repository is private. None if it does not exist."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError

    try:
        info = hub.api.repo_info(hub.repo, repo_type=hub.kind, timeout=10)
    except HfHubHTTPError as error:
        if error.response.status_code != 404 or isinstance(error, GatedRepoError | RevisionNotFoundError):
            raise
        return None
    return info.private is not False


def _create(hub: Connection, public: bool) -> None:
    """Create the repository. Raises CodexError if the owner's settings make a private one public."""
    hub.start_step(f"creating {hub.repo}")
    hub.api.create_repo(hub.repo, repo_type=hub.kind, private=not public)
    if not public and _is_private(hub) is False:
        raise CodexError(f"{hub.repo} should be private, but the Hub made it public. Nothing was sent.", CONFIRM_PUBLIC)


def _download_card(hub: Connection, scratch: Path) -> tuple[str, str]:
    """Download the present card. Returns its text and its revision, ("", "") if there is none."""
    remote = hub.find_file(CARD)
    if remote is None:
        return "", ""
    if remote.size > MAX_CARD_BYTES:
        message = f"{CARD} of {hub.repo} has {remote.size:,} bytes. A card can have {MAX_CARD_BYTES:,}."
        raise CodexError(message, "Make it smaller on the Hub, then push again.")
    path = _download(hub, CARD, remote.commit or "main", scratch, remote.size)
    return path.read_text(encoding="utf-8", errors="replace"), remote.commit


def _is_uploaded(hub: Connection, file: LocalFile) -> bool:
    remote = hub.find_file(file.name)
    return remote is not None and file.matches(remote.etag)


def _send(hub: Connection, files: list[LocalFile]) -> str:
    """Send all `files` in one commit. Returns its revision. Large files from an earlier try are not sent again."""
    hub.start_step(f"sending {', '.join(file.name for file in files)}")
    names = ", ".join(file.name for file in files[:3]) + ("" if len(files) < 4 else f" and {len(files) - 3} more")
    commit = hub.api.create_commit(
        hub.repo, _make_operations(files, hub), repo_type=hub.kind, commit_message=f"Upload {names} with codex-tui"
    )
    return commit.oid


def _make_operations(files: list[LocalFile], hub: Connection) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    total, sent = sum(file.size for file in files), dict.fromkeys((file.name for file in files), 0)

    class ReportingOperation(CommitOperationAdd):
        """Reports how many bytes of the file were read, and so were sent. Xet reads files itself; then the progress
        shows only the time."""

        @contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
            with super().as_file() as file:
                if with_tqdm:
                    read = file.read

                    def read_and_report(size: int = -1) -> bytes:
                        block = read(size)
                        sent[self.path_in_repo] = file.tell()
                        hub.start_step(f"sending {self.path_in_repo}", sum(sent.values()), total)
                        return block

                    file.read = read_and_report  # type: ignore[method-assign]
                yield file

    operations: list[Any] = []
    for file in files:
        operation = ReportingOperation(path_in_repo=file.name, path_or_fileobj=file.path)
        operation.upload_info.sha256 = bytes.fromhex(file.sha256)
        operations.append(operation)
    return operations


def _read_back(hub: Connection, file: LocalFile, revision: str, scratch: Path) -> None:
    """Download `file` again. Raises CodexError if its content differs from the local file. Of a very large file, only
    the checksum that the Hub has computed is compared: a download of it could take hours, and fill the disk."""
    hub.start_step(f"reading back {file.name}", 0, file.size)
    if file.size > MAX_READ_BACK_BYTES:
        if not _is_uploaded(hub, file):
            raise CodexError(DIFFERS.format(file.name, hub.repo), PUSH_AGAIN)
        return
    path = _download(hub, file.name, revision, scratch / "read-back", file.size)
    with path.open("rb") as copy:
        if hashlib.file_digest(copy, "sha256").hexdigest() != file.sha256:
            raise CodexError(DIFFERS.format(file.name, hub.repo), PUSH_AGAIN)
    path.unlink()


def _download(hub: Connection, name: str, revision: str, folder: Path, size: int) -> Path:
    """Download a file of `size` bytes into `folder`, without the cache, which could hide what the Hub really has."""
    hub.limits.max_file_bytes = size or None
    with name_path_in_errors(locations.cache_home()):
        downloaded = hub.api.hf_hub_download(
            hub.repo,
            name,
            repo_type=hub.kind,
            revision=revision,
            local_dir=folder,
            force_download=True,
            tqdm_class=make_bar(f"reading back {name}", hub.report),
        )
    return Path(downloaded)


@contextmanager
def _make_scratch() -> Iterator[Path]:
    """Make a temporary folder in our cache, because a dataset may be too large for /tmp, which may be in memory."""
    locations.cache_home().mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=locations.cache_home(), prefix=".hub-") as folder:
        yield Path(folder)
