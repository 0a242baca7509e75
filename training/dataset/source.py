"""Finds the files that a dataset's name stands for.

A name may be a file, a folder, a pattern such as data/*.jsonl, the shipped sample, or a repository of the Hub, whose
files are in the Hub's cache.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.contract.config import Hub, RunConfig
from training.dataset.formats import SUFFIXES

DEMO_DATASET = "demo:zombie-waves"
DEMO_FILE = Path(__file__).resolve().parents[1] / "demo" / "zombie_waves.jsonl"

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_URL = re.compile(
    r"\s*[A-Za-z][A-Za-z0-9+.-]+://(?:(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/(?P<page>[\w.-]+/[\w.-]+))?"
)
_TRAIN = re.compile(r"(?:^|[-_.])train(?:[-_.]|$)", re.IGNORECASE)


HINT = "Give the path of a JSONL, JSON, CSV or Parquet file."


class SourceProblem(ValueError):
    """A name that stands for no dataset, with a message and a hint."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


@dataclass(frozen=True)
class Source:
    """The files of a dataset, in order. `name` is its name on screens. `left_out` are the data files beside them that
    don't belong to the training split."""

    name: str
    files: tuple[Path, ...]
    hub: Hub | None = None
    left_out: tuple[Path, ...] = ()

    def label(self, file: int) -> str:
        """Return the name of file number `file` for messages; "" if there is only one file."""
        return self.files[file].name if len(self.files) > 1 else ""


def local(name: str, base: Path = Path()) -> Source:
    """Find the files of `name` on this machine. It is relative to `base`, absolute, or begins with ~.

    Raises SourceProblem.
    """
    if name == DEMO_DATASET:
        return Source(name, (DEMO_FILE,))
    if url := _URL.match(name):
        usual = "Download the file and give its path, or name a dataset as owner/name."
        hint = f"Name it as {url['page']}." if url["page"] else usual
        raise SourceProblem(f"{name} is a URL, not a file or a dataset of the Hub.", hint)
    if not name.strip():
        raise SourceProblem("An empty name is not a file.", HINT)
    path = (base / _expand_user(name)).absolute()
    if path.is_dir():
        return source_from_files(str(path), _list_data_files(path))
    if path.is_file():
        return Source(str(path), (path,))
    if glob.has_magic(name) and not path.exists():
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  takes an absolute pattern
        files = tuple(file for file in map(Path, matches) if file.is_file())
        if not files:
            raise SourceProblem(f"{path}: no file matches this pattern.", "Check the pattern; ** includes subfolders.")
        return Source(str(path), files)
    if path.exists():
        raise SourceProblem(f"{path}: not a file.", "Give a file, a folder or a pattern.")
    problem = "this link points to a file that does not exist" if path.is_symlink() else "no such dataset file"
    raise SourceProblem(f"{path}: {problem}.", HINT)


def source_from_files(name: str, files: Sequence[Path], hub: Hub | None = None) -> Source:
    """Take the data files of a folder or a repository. If some have "train" in their names, take only those.

    Raises SourceProblem if there is no data file.
    """
    train = [path for path in files if _TRAIN.search(path.stem)] or files
    if not train:
        kinds = ", ".join(SUFFIXES)
        raise SourceProblem(f"{name} contains no data file.", f"A data file's name ends in one of {kinds}.")
    chosen = set(train)
    return Source(name, tuple(train), hub, tuple(path for path in files if path not in chosen))


def _list_data_files(folder: Path) -> list[Path]:
    """List the data files in `folder` and its subfolders, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def source_from_config(config: RunConfig) -> Source:
    """Find the files of a run's dataset. Raises SourceProblem."""
    if config.files is not None:
        return Source(config.dataset, tuple(map(Path, config.files)), config.hub)
    try:
        return local(config.dataset)
    except SourceProblem:
        raise
    except (OSError, ValueError) as error:  # such as a name that is too long or holds a null byte
        raise SourceProblem(f"The dataset {config.dataset} can't be read: {error}.", HINT) from None


def hub_id(name: str, base: Path = Path()) -> str | None:
    """Return the Hub repository that `name` stands for; None if it is a path, or the name of a file on this machine."""
    if name.startswith("hf://"):
        return name.removeprefix("hf://").removeprefix("datasets/")
    is_id = _HUB_ID.fullmatch(name) and Path(name).suffix.lower() not in SUFFIXES
    return name if is_id and not (base / name).exists() else None


def sha256(source: Source) -> str:
    """Compute the checksum of the file; for several files, the checksum of their checksums. Raises OSError."""
    sums = []
    for path in source.files:
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def _expand_user(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such user
        return Path(name)
