"""Finds the files that a dataset's name stands for.

A name may be a file, a folder, a pattern such as data/*.jsonl, the shipped sample, or a repository of the Hub, whose
files are in the Hub's cache.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from training.contract.config import Hub, RunConfig
from training.dataset.formats import SUFFIXES, is_data_file, strip_data_suffix

DEMO_DATASET = "demo:zombie-waves"
DEMO_BOOK = DEMO_DATASET  # the shipped question book has the name of the sample that it asks about
DEMO_FILE = Path(__file__).resolve().parents[1] / "demo" / "zombie_waves.jsonl"

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_URL = re.compile(
    r"\s*[A-Za-z][A-Za-z0-9+.-]+://(?:(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/(?P<page>[\w.-]+/[\w.-]+))?"
)

Split = Literal["train", "validation", "test"]
SPLIT_WORDS: dict[str, Split] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "dev": "validation", "val": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""The words that name a split in the name of a file or of a folder, as the library `datasets` reads them."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}.*")
_WORD_ENDS = re.compile(r"[-._ 0-9]+")

HINT = "Give the path of a JSONL, JSON, CSV or Parquet file."


class SourceProblem(ValueError):
    """A name that stands for no dataset, with a message and a hint."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


class LeftOut(NamedTuple):
    """A file of a folder or repository that is not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Source:
    """The files of a dataset, in order. `name` is its name on screens. `left_out` are the files beside them. The last
    `validation_files` of the files are the validation split: the evaluation reads them, and no step is trained on
    them. `merged_folders` are the folders of a repository without configurations, which are read together."""

    name: str
    files: tuple[Path, ...]
    hub: Hub | None = None
    left_out: tuple[LeftOut, ...] = ()
    validation_files: int = 0
    merged_folders: tuple[str, ...] = ()

    @property
    def train_files(self) -> tuple[Path, ...]:
        return self.files[: len(self.files) - self.validation_files]

    @property
    def eval_files(self) -> tuple[Path, ...]:
        return self.files[len(self.files) - self.validation_files :]

    def label(self, file: int) -> str:
        """Return the name of file number `file` for messages; "" if there is only one file. Files of the same name are
        told apart by their folders."""
        return self._labels[file] if len(self.files) > 1 else ""

    @cached_property
    def _labels(self) -> list[str]:
        names = Counter(path.name for path in self.files)
        return [path.name if names[path.name] == 1 else self.shorten(path) for path in self.files]

    def shorten(self, path: Path) -> str:
        """Return the path of a file inside of the folder or the repository."""
        parts = path.parts
        if self.hub and self.hub.revision in parts:
            return "/".join(parts[parts.index(self.hub.revision) + 1 :])
        return str(path.relative_to(self.name)) if path.is_relative_to(self.name) else path.name

    def describe_merging(self) -> str:
        """Say in a sentence that folders are read together; "" if not."""
        if not self.merged_folders:
            return ""
        return (
            f"The repository lists no configurations, so its {len(self.merged_folders)} folders are read together, as "
            f'the library datasets does. To train on one: dataset.config = "{self.merged_folders[0]}".'
        )

    def group_left_out(self) -> dict[str, list[str]]:
        """Return the files that are not used, by reason."""
        groups: dict[str, list[str]] = {}
        for path, reason in self.left_out:
            groups.setdefault(reason, []).append(self.shorten(path))
        return groups


def local(name: str, base: Path = Path(), split: str | None = None) -> Source:
    """Find the files of `name` on this machine. It is relative to `base`, absolute, or begins with ~. Of a folder, take
    the files of `split`; see `source_from_files`.

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
        return source_from_files(str(path), path, _list_files(path), split=split)
    if path.is_file():
        return Source(str(path), (path,))
    if glob.has_magic(name) and not path.exists():
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  takes an absolute pattern
        files = tuple(file for file in map(Path, matches) if file.is_file())
        if not files:
            raise SourceProblem(f"{path}: no file matches this pattern.", "Check the pattern; ** includes subfolders.")
        return _source_from_pattern(str(path), files)
    if path.exists():
        raise SourceProblem(f"{path}: not a file.", "Give a file, a folder or a pattern.")
    problem = "this link points to a file that does not exist" if path.is_symlink() else "no such dataset file"
    raise SourceProblem(f"{path}: {problem}.", HINT)


def find_split(path: Path) -> Split | None:
    """Tell the split of a file from the names of the file and of its folders, as `datasets` does. A name with several
    such words counts as test, else as validation, so that no row of these is ever trained on."""
    names = (*path.parts[:-1], strip_data_suffix(path.name))
    splits = {SPLIT_WORDS[word] for name in names for word in _WORD_ENDS.split(name.lower()) if word in SPLIT_WORDS}
    return next((split for split in ("test", "validation", "train") if split in splits), None)


def source_from_files(
    name: str,
    folder: Path,
    files: Sequence[Path],
    hub: Hub | None = None,
    split: str | None = None,
    listed: Mapping[Path, str | None] | None = None,
) -> Source:
    """Take the data files among `files`, which are in `folder`, without those of the test split. If some are named as
    the training split, take only those. The files of the validation split are for the evaluation.

    `split` names the split to train on instead. `listed` has the split of each file, if the repository says it.

    Raises SourceProblem if no file is left to train on.
    """
    data = [path for path in files if is_data_file(path.name)]
    if not data:
        kinds = ", ".join(SUFFIXES)
        raise SourceProblem(f"{name} contains no data file.", f"A data file's name ends in one of {kinds}.")
    splits: Mapping[Path, str | None] = (
        {path: find_split(path.relative_to(folder)) for path in data} if listed is None else listed
    )
    if split is not None:
        chosen = tuple(path for path in splits if splits[path] == split or _is_named(path.relative_to(folder), split))
        if not chosen:
            known = ", ".join(sorted({name for name in splits.values() if name})) or "none"
            raise SourceProblem(f"{name} has no split {split}.", f"Splits there: {known}. Change dataset.split.")
        return _divide(name, chosen, files, splits, hub)
    wanted = "train" if "train" in splits.values() else None
    chosen = tuple(path for path in splits if splits[path] == wanted)
    if not chosen:
        held = " and ".join(sorted({split for split in splits.values() if split}, reverse=True))
        raise SourceProblem(
            f"{name} has only {held} files, which are not trained on.",
            "To train on one of them, give its own path, or set dataset.split.",
        )
    return _divide(name, chosen, files, splits, hub)


def _source_from_pattern(name: str, files: tuple[Path, ...]) -> Source:
    """Take the files that a pattern matches, with the rules of a folder. Without "train" in its name, a file belongs to
    the training split all the same, and a pattern that matches only other splits names them itself."""
    folder = next(parent for parent in Path(name).parents if not glob.has_magic(str(parent)))
    splits = {path: find_split(path.relative_to(folder)) for path in files}
    chosen = tuple(path for path in files if splits[path] in ("train", None))
    if not chosen:
        return Source(name, files)  # the pattern names such a split itself
    return _divide(name, chosen, files, splits)


def _divide(
    name: str,
    train: tuple[Path, ...],
    files: Sequence[Path],
    splits: Mapping[Path, str | None],
    hub: Hub | None = None,
) -> Source:
    """Make the source of the training files `train`, and of the validation files among `splits`."""
    validation = tuple(path for path, split in splits.items() if split == "validation" and path not in train)
    taken = {*train, *validation}
    left_out = tuple(LeftOut(path, _explain_left_out(path, splits)) for path in files if path not in taken)
    return Source(name, (*train, *validation), hub, left_out, len(validation))


def add_eval_files(source: Source, evaluation: Source) -> Source:
    """Replace the validation split of `source` with the files of `evaluation`. Raises SourceProblem if no file is left
    to train on."""
    train = tuple(path for path in source.train_files if path not in evaluation.files)
    if not train:
        raise SourceProblem(
            f"{evaluation.name} is all of the dataset, so no rows are left to train on.", "Change dataset.eval_path."
        )
    replaced = (path for path in source.eval_files if path not in evaluation.files)
    left_out = (*source.left_out, *(LeftOut(path, "dataset.eval_path names other rows") for path in replaced))
    kept = tuple(left for left in left_out if left.path not in evaluation.files)
    return Source(source.name, (*train, *evaluation.files), source.hub, kept, len(evaluation.files))


def _is_named(path: Path, split: str) -> bool:
    """Tell whether a file or one of its folders is named as `split`, also as one of several parts:
    train_sft-00000-of-00002.parquet."""
    return split in (*path.parts[:-1], _SHARD.sub("", strip_data_suffix(path.name)))


def _explain_left_out(path: Path, splits: Mapping[Path, str | None]) -> str:
    if path not in splits:
        return "of another configuration" if is_data_file(path.name) else "not a data file"
    split = splits[path]
    return f"the {split} split" if split else "not named as the training split, which other files are"


def _list_files(folder: Path) -> list[Path]:
    """List the files in `folder` and its subfolders, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def source_from_config(config: RunConfig) -> Source:
    """Find the files of a run's dataset. Raises SourceProblem."""
    if config.files is not None:
        files = tuple(map(Path, (*config.files, *config.eval_files)))
        return Source(config.dataset, files, config.hub, validation_files=len(config.eval_files))
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
    is_id = _HUB_ID.fullmatch(name) and not is_data_file(name)
    return name if is_id and not (base / name).exists() else None


def sha256(source: Source) -> str:
    """Compute the checksum of a dataset from its files. Raises OSError."""
    sums = []
    for path in source.files:
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return combine_checksums(sums)


def combine_checksums(sums: list[str]) -> str:
    """Return the checksum of a dataset from those of its files: of one file its own, else the checksum of all."""
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def _expand_user(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such user
        return Path(name)
