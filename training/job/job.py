"""What a config.json asks for: the profile, the rows and where things lie. Read by the trainer and by the workers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.contract import files
from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.tables import Model
from training.dataset.records import Unreadable
from training.dataset.rows import Rows, read
from training.dataset.shapes import Columns
from training.dataset.source import Source, SourceProblem, of_config, sha256

PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class Job:
    """`config` is the file as it was read, `source` the dataset; `cache` holds what can be made again."""

    config: dict[str, Any]
    profile: Profile
    source: Source
    cache: Path

    @property
    def model_name(self) -> str:
        """What was really loaded, where that is known; else what the profile names."""
        return self.actual_model.get("name") or self.profile.model.name

    @property
    def actual_model(self) -> dict[str, Any]:
        """What really ran of the profile's table `model`; {} before that is known."""
        return self.config.get("actual", {}).get("model", {})


def read_job(target: Path) -> Job:
    """The job of a run directory, or of a config.json by itself. Raises TrainingFailure."""
    path = target / "config.json" if target.is_dir() else target
    try:
        config = json.loads(files.read(path))
        profile = Profile.model_validate(config["profile"])
        job = Job(config, profile, of_config(config), Path(config["cache"]))
        Model.model_validate({**profile.model.model_dump(), **job.actual_model})
        return job
    except OSError as error:
        raise TrainingFailure("bad_config", f"{path} can't be read: {error.strerror}.") from error
    except SourceProblem as error:
        raise TrainingFailure("bad_data", error.message, error.hint) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("profile", *map(str, first["loc"])))
        raise TrainingFailure("bad_config", f"{path}: {field}: {first['msg']}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingFailure("bad_config", f"{path} is damaged.", "Begin anew from the run's profile.toml.") from error


@contextmanager
def readable(job: Job) -> Iterator[None]:
    """Raises TrainingFailure in the place of what says that a file of the dataset can't be read."""
    try:
        yield
    except Unreadable as error:
        raise TrainingFailure("bad_data", error.message, error.hint) from error
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        message = f"The dataset {error.filename or job.source.name} can't be read: {error.strerror}."
        raise TrainingFailure("bad_data", message, "Check dataset.path.") from error


def read_all_rows(job: Job) -> Rows:
    """The dataset with its bad rows listed. Raises TrainingFailure where it can't be read."""
    with readable(job):
        return read(job.source, Columns.of(job.profile.dataset))


def change_of(job: Job, rows: Rows) -> str:
    """What has changed since the run began to train on the dataset, "" where nothing has or that is not known."""
    before = job.config.get("dataset_fingerprint")
    if not isinstance(before, dict) or "sha256" not in before:
        return ""
    with readable(job):
        if before["sha256"] == sha256(job.source):
            return ""
    then, now = before.get("rows"), len(rows.rows) + len(rows.problems)
    counts = f" ({then:,} rows then, {now:,} now)" if isinstance(then, int) else ""
    return f"The dataset {job.source.name} has changed since the run began{counts}."


def require_unchanged(job: Job, rows: Rows, run: RunDirectory) -> None:
    """Raises TrainingFailure where `run` would go on with other rows than it has learned from."""
    if changed := change_of(job, rows):
        anew = shlex.join(["codex-tui", "train", str(run.profile), "--dataset", job.source.name])
        raise TrainingFailure("bad_data", changed, f"Put the old data back, or train anew: {anew}")


def require_good(job: Job, found: Rows) -> None:
    """Raises TrainingFailure for bad rows, unless the profile says to skip them, and where there is no other."""
    if found.problems and job.profile.dataset.on_bad_rows == "refuse":
        count = len(found.problems)
        shown = "; ".join(str(problem) for problem in found.problems[:PROBLEMS_SHOWN])
        more = f"; and {count - PROBLEMS_SHOWN} more" if count > PROBLEMS_SHOWN else ""
        raise TrainingFailure(
            "bad_data",
            f"{job.source.name} has {count} bad row{'s' if count > 1 else ''}: {shown}{more}.",
            'Mend these lines, or set dataset.on_bad_rows = "skip" to train on the others.',
        )
    if not found.rows:
        raise TrainingFailure(
            "bad_data",
            f"{job.source.name} has no row to learn from.",
            'A row is a line like {"instruction": "...", "response": "..."}.',
        )
