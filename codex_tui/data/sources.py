"""The dataset of a profile, for the app: found, fetched from the Hub where it lies there, and read without the training
stack."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError, describe_os_error
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.base.text import pluralize
from codex_tui.environment import build
from codex_tui.workers.process import trainer_environment
from training.contract.config import Hub
from training.contract.profile import Profile
from training.contract.tables import Dataset
from training.dataset.records import Unreadable, format_of
from training.dataset.rows import Rows, read
from training.dataset.shapes import USUAL, Columns
from training.dataset.source import DEMO_DATASET, Source, SourceProblem, hub_id, local, of_files

MAX_PROBLEMS = 10
ROW_HINT = 'A row is a line such as {"instruction": "…", "response": "…"}.'


def find_profile_source(
    profile: Profile, profile_file: Path, override: str | None = None, report: OnProgress = ignore_progress
) -> Source:
    """The dataset that a run of `profile` takes; `override` is one from where one stands. Raises BadInput where
    there is none, CodexError where the Hub does not give it."""
    if override is not None:
        return find_source(override, revision=profile.dataset.revision, report=report)
    if profile.dataset.path is None:
        raise BadInput(
            f"The profile {profile_file.stem} names no dataset.",
            "Give one with --dataset FILE, or set path under [dataset] in the profile.",
        )
    return find_source(profile.dataset.path, profile_file.parent, profile.dataset.revision, report)


def find_source(
    name: str, base: Path = Path(), revision: str | None = None, report: OnProgress = ignore_progress
) -> Source:
    """Find the dataset `name`: a path relative to `base`, or a repository of the Hub.

    Raises the errors of `find_profile_source`.
    """
    try:
        if (repo := hub_id(name, base)) is None:
            return local(name, base)
        from codex_tui.hub.download import fetch_dataset

        files, commit = fetch_dataset(repo, revision, report)
        return of_files(f"hf://{repo}", files, Hub(repo, commit))
    except SourceProblem as problem:
        raise BadInput(problem.message, problem.hint) from None


def read_rows(source: Source, columns: Columns = USUAL) -> Rows:
    """Its rows, good and bad. Raises BadInput where a file can't be read, EnvironmentMissing as `convert_parquet`."""
    with translate_read_errors(source):
        return read(convert_parquet(source), columns)


@contextmanager
def translate_read_errors(source: Source) -> Iterator[None]:
    """Raises BadInput in the place of what says that a file of `source` can't be read."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{error.filename or source.name} can't be read: {error.strerror}.", "Check the file.") from None
    except Unreadable as error:
        raise BadInput(error.message, error.hint) from None


def convert_parquet(source: Source) -> Source:
    """`source` with a JSONL copy in place of each Parquet file: row n is line n. The training environment makes it,
    once. Raises EnvironmentMissing where there is none, OSError where a file can't be looked at."""
    return Source(source.name, tuple(map(_convert_file, source.files)), source.hub, source.left_out)


def check_rows(source: Source, dataset: Dataset) -> None:
    """Refuses bad rows before anything is started, as the table `dataset` of the profile says. Raises BadInput naming
    the first ten with their lines."""
    found = read_rows(source, Columns.of(dataset))
    bad, rows = len(found.problems), len(found.problems) + len(found.rows)
    if bad and (dataset.on_bad_rows == "refuse" or bad == rows):
        listed = "\n".join(f"  {problem}" for problem in found.problems[:MAX_PROBLEMS])
        more = bad - MAX_PROBLEMS
        raise BadInput(
            f"{source.name}: {bad:,} of {pluralize(rows, 'row')} can't be learned from:\n{listed}"
            + (f"\n  and {more} more" if more > 0 else ""),
            "Mend them"
            + (', or set on_bad_rows = "skip" under [dataset] to train on the rest.' if bad < rows else "."),
        )
    if not rows:
        raise BadInput(f"{source.name} has no rows.", ROW_HINT)


def to_config_fields(source: Source) -> dict[str, Any]:
    """The fields of a `RunConfig` that name `source`."""
    files = None if source.name == DEMO_DATASET else [str(path) for path in source.files]
    return {"dataset": source.name, "files": files, "hub": source.hub}


def _convert_file(path: Path) -> Path:
    if format_of(path) != "parquet":
        return path
    facts = path.stat()
    key = hashlib.sha256(f"{path.absolute()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:24]
    copy = locations.cache_home() / "datasets" / f"{path.stem[:40]}-{key}.jsonl"
    if not copy.is_file():
        try:
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:  # of the cache, not of the dataset
            raise describe_os_error(error) from None
        done = subprocess.run(
            [str(build.find_python(None)), "-m", "training", "jsonl", str(path), str(copy)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=trainer_environment(), check=False,
        )  # fmt: skip
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"{path} can't be read."])[-1]
            if why.startswith(str(copy)):
                raise CodexError(why, "Free some space there, then try it again.")
            raise BadInput(why, "Check that it is a whole Parquet file.")
    return copy
