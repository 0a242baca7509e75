"""Sends files and a card to a repository of the Hub: what has changed and nothing else, then reads it back.

A repository is made private. What is in a public one is read by everyone at once, so nothing goes there, and none is
made public, unless the person said so twice.
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
from codex_tui.hub.client import Connection, Kind, bar, connected
from training.contract.files import name_path_in_errors

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

CARD = "README.md"
BLOCK = 1 << 20
TWICE = "Say it twice where the world may read it: --public --yes-public"


@dataclass(frozen=True)
class LocalFile:
    """`name` in the repository; the sums are what the Hub may give as its ETag."""

    path: Path
    name: str
    size: int
    sha256: str
    git_sha1: str

    def is_at(self, etag: str) -> bool:
        return etag in (self.sha256, self.git_sha1)


@dataclass(frozen=True)
class Pushed:
    """`sent` are the names of what was not there as it is here; `published`: the repository was private before."""

    repo: str
    url: str
    private: bool
    created: bool
    published: bool
    sent: tuple[str, ...]
    bytes_sent: int
    revision: str
    files: tuple[LocalFile, ...] = field(repr=False, default=())


def measure(path: Path, name: str, report: OnProgress) -> LocalFile:
    """Reads the file once. Raises OSError."""
    size = path.stat().st_size
    # Not to keep a secret: git names its blobs so.
    large, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    done = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
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
) -> Pushed:
    """Makes `repo` hold `files` and the card that `card` makes of the one there ("" where there is none).

    `public` says that the person agreed, twice, to everyone reading it. Raises CodexError.
    """
    with connected(repo, kind, report, writes=True) as hub, _scratch() as scratch:
        private = _private(hub)
        old, revision = ("", "") if private is None else _card(hub, scratch)
        new = scratch / CARD
        with name_path_in_errors(locations.cache_home()):
            new.write_text(card(old), encoding="utf-8")
        wanted = [*files, measure(new, CARD, lambda _: None)]
        missing = [file for file in wanted if private is None or not _is_there(hub, file)]
        if missing and private is False and not public:
            raise BadInput(f"{repo} is public: what is sent there is read by everyone at once.", TWICE)
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
            hub.step("making it public")
            hub.api.update_repo_settings(repo, repo_type=kind, private=False)
        sent = tuple(file.name for file in missing)
        size = sum(file.size for file in missing)
        is_private = not public and private is not False
        return Pushed(repo, hub.url, is_private, private is None, published, sent, size, revision, tuple(files))


def _private(hub: Connection) -> bool | None:
    """Whether the repository is private; None where there is none."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError

    try:
        info = hub.api.repo_info(hub.repo, repo_type=hub.kind, timeout=10)
    except HfHubHTTPError as error:
        if error.response.status_code != 404 or isinstance(error, GatedRepoError | RevisionNotFoundError):
            raise
        return None
    return info.private is not False


def _create(hub: Connection, public: bool) -> None:
    """Where an owner's rules make new repositories public all the same, nothing goes there."""
    hub.step(f"making {hub.repo}")
    hub.api.create_repo(hub.repo, repo_type=hub.kind, private=not public)
    if not public and _private(hub) is False:
        raise CodexError(f"{hub.repo} was asked to be private, and is public. Nothing was sent.", TWICE)


def _card(hub: Connection, scratch: Path) -> tuple[str, str]:
    """The card as it is there and the revision; "" where there is none, or nothing yet."""
    found = hub.look(CARD)
    if found is None:
        return "", ""
    path = _download(hub, CARD, found.commit or "main", scratch)
    return path.read_text(encoding="utf-8", errors="replace"), found.commit


def _is_there(hub: Connection, file: LocalFile) -> bool:
    found = hub.look(file.name)
    return found is not None and file.is_at(found.etag)


def _send(hub: Connection, files: list[LocalFile]) -> str:
    """One commit with all of `files`; the revision. Large files that arrived in an earlier try are not sent again."""
    hub.step(f"sending {', '.join(file.name for file in files)}")
    names = ", ".join(file.name for file in files[:3]) + ("" if len(files) < 4 else f" and {len(files) - 3} more")
    commit = hub.api.create_commit(
        hub.repo, _operations(files, hub), repo_type=hub.kind, commit_message=f"Upload {names} with codex-tui"
    )
    return commit.oid


def _operations(files: list[LocalFile], hub: Connection) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    total, sent = sum(file.size for file in files), dict.fromkeys((file.name for file in files), 0)

    class Counted(CommitOperationAdd):
        """Reports how much of the file has been read, which is how much was sent. Xet reads files by itself: then
        the progress is the time alone."""

        @contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
            with super().as_file() as file:
                if with_tqdm:
                    read = file.read

                    def counted(size: int = -1) -> bytes:
                        block = read(size)
                        sent[self.path_in_repo] = file.tell()
                        hub.step(f"sending {self.path_in_repo}", sum(sent.values()), total)
                        return block

                    file.read = counted  # type: ignore[method-assign]
                yield file

    made: list[Any] = []
    for file in files:
        operation = Counted(path_in_repo=file.name, path_or_fileobj=file.path)
        operation.upload_info.sha256 = bytes.fromhex(file.sha256)
        made.append(operation)
    return made


def _read_back(hub: Connection, file: LocalFile, revision: str, scratch: Path) -> None:
    """Raises CodexError where the Hub gives back something else."""
    hub.step(f"reading back {file.name}", 0, file.size)
    path = _download(hub, file.name, revision, scratch / "read-back")
    with path.open("rb") as back:
        if hashlib.file_digest(back, "sha256").hexdigest() != file.sha256:
            message = f"What {hub.repo} gives back as {file.name} is not what was sent."
            raise CodexError(message, "Push it again; nothing here is lost.")
    path.unlink()


def _download(hub: Connection, name: str, revision: str, folder: Path) -> Path:
    """Past the cache, which might answer for the Hub."""
    with name_path_in_errors(locations.cache_home()):
        found = hub.api.hf_hub_download(
            hub.repo,
            name,
            repo_type=hub.kind,
            revision=revision,
            local_dir=folder,
            force_download=True,
            tqdm_class=bar(f"reading back {name}", hub.report),
        )
    return Path(found)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of our cache, because /tmp may be memory and a dataset large."""
    locations.cache_home().mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=locations.cache_home(), prefix=".hub-") as folder:
        yield Path(folder)
