"""Finds the dataset of a profile, downloads it from the Hub if it is there, and reads it without the training stack."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError, convert_os_error
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.base.text import pluralize
from codex_tui.data import suggest
from codex_tui.environment import build
from codex_tui.workers.process import trainer_environment
from training.contract.config import Hub
from training.contract.dataset_table import Dataset
from training.contract.profile import Profile
from training.dataset.formats import Unreadable, find_compression, format_of
from training.dataset.rows import Rows, read
from training.dataset.shapes import USUAL, Columns
from training.dataset.source import (
    DEMO_DATASET,
    Source,
    SourceProblem,
    add_eval_files,
    hub_id,
    local,
    source_from_files,
)

MAX_PROBLEMS = 10
ALL_ROWS = Dataset()
ROW_HINT = 'A row is a line such as {"instruction": "…", "response": "…"}.'


def find_profile_source(
    profile: Profile,
    profile_file: Path,
    override: str | None = None,
    report: OnProgress = ignore_progress,
    *,
    how_to_name: str = "Give one with --dataset FILE",
) -> Source:
    """Find the dataset that a run of `profile` uses. `override` replaces it; a relative path in `override` is relative
    to the current folder. `how_to_name` says how a person names another one.

    Raises BadInput if there is no such dataset, CodexError if the Hub does not deliver it.
    """
    dataset = profile.dataset
    if override is None and dataset.path is None:
        raise BadInput(
            f"The profile {profile_file.stem} names no dataset.",
            f"{how_to_name}, or set path under [dataset] in the profile.",
        )
    name, base = (dataset.path or "", profile_file.parent) if override is None else (override, Path())
    return add_eval_path(find_source(name, base, dataset, report), dataset, profile_file.parent)


def add_eval_path(source: Source, dataset: Dataset, base: Path) -> Source:
    """Return `source` with the files that `dataset` names as the evaluation set. Raises BadInput."""
    if dataset.eval_path is None:
        return source
    try:
        return add_eval_files(source, local(dataset.eval_path, base))
    except SourceProblem as problem:
        raise BadInput(f"dataset.eval_path: {problem.message}", problem.hint) from None


def find_source(
    name: str, base: Path = Path(), dataset: Dataset = ALL_ROWS, report: OnProgress = ignore_progress
) -> Source:
    """Find the dataset `name`: a path relative to `base`, or a repository of the Hub. `dataset` has the revision, the
    configuration and the split to take.

    Raises the errors of `find_profile_source`.
    """
    try:
        if (repo := hub_id(name, base)) is None:
            return local(name, base, dataset.split)
        from codex_tui.hub.configurations import list_folders, select_configuration
        from codex_tui.hub.download import fetch

        fetched = fetch(repo, dataset.revision, report)
        listed = select_configuration(repo, fetched.folder, fetched.files, dataset.config)
        hub = Hub(repo, fetched.revision)
        source = source_from_files(f"hf://{repo}", fetched.folder, fetched.files, hub, dataset.split, listed)
        folders = list_folders(fetched.folder, source.train_files) if listed is None else []
        return replace(source, merged_folders=tuple(folders) if len(folders) > 1 else ())
    except SourceProblem as problem:
        similar = suggest.find_similar(name, base)
        raise BadInput(problem.message, f"Did you mean {similar}?" if similar else problem.hint) from None


def read_rows(source: Source, columns: Columns = USUAL) -> Rows:
    """Read the good and the bad rows of `source`. Raises BadInput if a file can't be read, EnvironmentMissing if a
    Parquet file needs the training environment and there is none."""
    with translate_read_errors(source):
        return read(convert_files(source), columns)


@contextmanager
def translate_read_errors(source: Source) -> Iterator[None]:
    """Raise BadInput instead of an error that says that a file of `source` can't be read."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{error.filename or source.name} can't be read: {error.strerror}.", "Check the file.") from None
    except Unreadable as error:
        raise BadInput(error.message, error.hint) from None


def convert_files(source: Source) -> Source:
    """Return `source` with a copy in place of each file that only the training environment can read: a JSONL file for
    Parquet, in which row n is line n, and the unpacked file for Zstandard. The training environment writes each copy
    once. Raises EnvironmentMissing if there is none, OSError if a file can't be found."""
    return replace(source, files=tuple(map(_convert_file, source.files)))


def check_rows(source: Source, dataset: Dataset) -> tuple[int, int]:
    """Check the rows before a run starts. Return the number of good ones, and how many of them are in the validation
    split.

    Raises BadInput, with the first ten bad rows and their lines, if there are bad rows that `dataset`, the profile's
    table, does not allow.
    """
    content = read_rows(source, Columns.from_dataset(dataset))
    bad, rows = len(content.problems), len(content.problems) + len(content.rows)
    if bad and (dataset.on_bad_rows == "refuse" or bad == rows):
        listed = "\n".join(f"  {problem}" for problem in content.problems[:MAX_PROBLEMS])
        more = bad - MAX_PROBLEMS
        skip = ', or train on the rest: dataset.on_bad_rows = "skip" (--set dataset.on_bad_rows=skip)'
        raise BadInput(
            f"{source.name}: {bad:,} of {pluralize(rows, 'row')} can't be used for training:\n{listed}"
            + (f"\n  and {more} more" if more > 0 else ""),
            f"Fix them{skip if bad < rows else ''}.",
        )
    if not rows:
        raise BadInput(f"{source.name} has no rows.", ROW_HINT)
    if len(content.rows) == content.validation:
        raise BadInput(f"The training files of {source.name} have no good rows.", ROW_HINT)
    return len(content.rows), content.validation


def to_config_fields(source: Source) -> dict[str, Any]:
    """Return the fields of a `RunConfig` that describe `source`."""
    files = None if source.name == DEMO_DATASET else [str(path) for path in source.train_files]
    eval_files = [str(path) for path in source.eval_files]
    return {"dataset": source.name, "files": files, "eval_files": eval_files, "hub": source.hub}


def _convert_file(path: Path) -> Path:
    unpack = find_compression(path) == "zstd"
    if not unpack and format_of(path) != "parquet":
        return path
    suffix = Path(path.stem).suffix if unpack else ".jsonl"
    status = path.stat()
    key = hashlib.sha256(f"{path.absolute()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:24]
    copy = locations.cache_home() / "datasets" / f"{path.stem[:40]}-{key}{suffix}"
    if not copy.is_file():
        try:
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:  # the cache is at fault, not the dataset
            raise convert_os_error(error) from None
        done = subprocess.run(
            [str(build.find_python()), "-m", "training", "jsonl", str(path), str(copy)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=trainer_environment(), check=False,
        )  # fmt: skip
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"{path} can't be read."])[-1]
            if why.startswith(str(copy)):
                raise CodexError(why, "Free some space there, then try it again.")
            raise BadInput(why, "Check that the file is complete.")
    return copy
