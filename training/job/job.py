"""The job that a config.json describes: the profile, the dataset and the cache. The trainer and the workers use it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.contract.cache import cache_home
from training.contract.config import ConfigDamaged, ConfigError, RunConfig, get_table
from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.tables import Model
from training.dataset.formats import Unreadable
from training.dataset.rows import Rows, read
from training.dataset.shapes import Columns
from training.dataset.source import Source, SourceProblem, sha256, source_from_config
from training.dataset.split import choose_eval_rows

MAX_PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class Job:
    """`source` is the dataset, `cache` the folder for files that can be made again."""

    config: RunConfig
    profile: Profile
    source: Source
    cache: Path

    @property
    def model_name(self) -> str:
        """The name of the model that was really loaded; before that is known, the profile's."""
        return self.actual_model.get("name") or self.profile.model.name

    @property
    def actual_model(self) -> dict[str, Any]:
        """The values that ran in place of the profile's table `model`; {} before the model is loaded."""
        return get_table(self.config.actual, "model")

    @property
    def dtype(self) -> str:
        """The name of the precision that ran, such as bfloat16."""
        dtype = str(self.actual_model.get("dtype", self.profile.model.dtype))
        return "bfloat16" if dtype == "auto" else dtype

    @property
    def load_in_4bit(self) -> bool:
        """Whether the base model that ran was quantised to 4 bits."""
        return bool(self.actual_model.get("load_in_4bit", self.profile.model.load_in_4bit))


def read_job(target: Path) -> Job:
    """Read the job of a run directory, or of a config.json alone. Raises TrainingFailure."""
    path = RunDirectory(target).config if target.is_dir() else target
    try:
        config, profile = RunConfig.read_with_profile(path)
        _check_actual_model(config, profile, path)
        return Job(config, profile, source_from_config(config), cache_home())
    except ConfigError as error:
        hint = error.hint or "Start a new run from this run's profile.toml."
        raise TrainingFailure("bad_config", error.message, hint) from error
    except SourceProblem as error:
        raise TrainingFailure("bad_data", error.message, error.hint) from error


def _check_actual_model(config: RunConfig, profile: Profile, path: Path) -> None:
    """The chat loads the model with these values. Raises ConfigDamaged."""
    values = config.actual.get("model", {})
    if not isinstance(values, dict):
        raise ConfigDamaged(path, "actual.model", "not a table")
    try:
        Model.model_validate({**profile.model.model_dump(), **values})
    except ValidationError as error:
        raise ConfigDamaged.from_validation(path, "actual.model", error) from None


@contextmanager
def explain_unreadable_dataset(job: Job) -> Iterator[None]:
    """Raise TrainingFailure when a file of the dataset can't be read inside."""
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
    """Read the dataset, with its bad rows listed. Of a validation split, keep only the evaluation rows. A run that
    began with rows which are refused today goes on with them. Raises TrainingFailure if the dataset can't be read."""
    before = job.config.dataset_fingerprint
    refuse = before is None or before.other_kinds_refused
    with explain_unreadable_dataset(job):
        rows = read(job.source, Columns.from_dataset(job.profile.dataset), refuse_other_kinds=refuse)
    if rows.validation:
        train = len(rows.rows) - rows.validation
        held = sorted(choose_eval_rows(len(rows.rows), job.profile, rows.validation))
        rows.rows[train:] = [rows.rows[position] for position in held]
        rows.validation = len(held)
    return rows


def describe_dataset_change(job: Job, rows: Rows) -> str:
    """Say in a sentence that the dataset has changed since the run began; "" if it has not, or if that is unknown."""
    before = job.config.dataset_fingerprint
    if before is None:
        return ""
    with explain_unreadable_dataset(job):
        if before.sha256 == sha256(job.source):
            return ""
    now = len(rows.rows) + len(rows.problems)
    counts = "" if before.rows is None else f" ({before.rows:,} rows then, {now:,} now)"
    return f"The dataset {job.source.name} has changed since the run began{counts}."


def check_dataset_unchanged(job: Job, rows: Rows, run: RunDirectory) -> None:
    """Raise TrainingFailure if `run` would resume with other rows than it began with."""
    if changed := describe_dataset_change(job, rows):
        hint = f"Put the old data back, or start a new run: {_new_run_command(job, run)}"
        raise TrainingFailure("bad_data", changed, hint)


def _new_run_command(job: Job, run: RunDirectory) -> str:
    return shlex.join(["codex-tui", "train", str(run.profile), "--dataset", job.source.name])


def check_rows(job: Job, rows: Rows, run: RunDirectory) -> None:
    """Raise TrainingFailure if there are bad rows, unless the profile skips them, and if there is no good row."""
    if rows.problems and job.profile.dataset.on_bad_rows == "refuse":
        count = len(rows.problems)
        shown = "; ".join(str(problem) for problem in rows.problems[:MAX_PROBLEMS_SHOWN])
        more = f"; and {count - MAX_PROBLEMS_SHOWN} more" if count > MAX_PROBLEMS_SHOWN else ""
        hint = 'Fix these lines, or set dataset.on_bad_rows = "skip" to train on the others.'
        if job.config.dataset_fingerprint is not None:  # an older version read them otherwise
            hint = f"This version can't go on with them. Fix them, then start a new run: {_new_run_command(job, run)}"
        raise TrainingFailure(
            "bad_data", f"{job.source.name} has {count} bad row{'s' if count > 1 else ''}: {shown}{more}.", hint
        )
    if len(rows.rows) == rows.validation:
        raise TrainingFailure(
            "bad_data",
            f"{job.source.name} has no rows to train on.",
            'A row is a line like {"instruction": "...", "response": "..."}.',
        )
