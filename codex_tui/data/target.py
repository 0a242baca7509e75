"""The dataset that the data screen shows, and the profile that says how rows are read and where they are cut."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.data import sources
from codex_tui.profiles import library
from codex_tui.runs.outcome import explain_config_error
from training.contract.config import ConfigError, RunConfig
from training.contract.dataset_table import Dataset
from training.contract.files import delete_oldest, write_atomically
from training.contract.model_path import resolve_model_paths
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset import kept
from training.dataset.source import Source, SourceProblem, hub_id, source_from_config

NAME_SEPARATOR = " + "  # between the names of several datasets


@dataclass(frozen=True)
class Target:
    """A dataset to show. `profile` is None if no profile was given: its rows can be read, but not tokenised.
    `path` is the file of the profile, `run` the run that was trained on the rows."""

    source: Source
    profile: Profile | None = None
    path: Path | None = None
    run: RunDirectory | None = None
    names: tuple[str, ...] = ()  # of the datasets that replace the dataset of the profile

    @classmethod
    def from_run(cls, run: RunDirectory) -> Target:
        """Return the rows and the profile with which `run` was started. Raises BadInput."""
        try:
            config, profile = RunConfig.read_with_profile(run.config)
            return cls(source_from_config(config), profile, run=run)
        except ConfigError as error:
            raise explain_config_error(run, error) from None
        except SourceProblem as problem:
            raise BadInput(problem.message, problem.hint) from None

    @classmethod
    def from_profile(
        cls, path: Path, names: Sequence[str] = (), revision: str | None = None, report: OnProgress = ignore_progress
    ) -> Target:
        """Return the rows of the profile at `path`, or of the datasets `names` instead. `revision` replaces the
        revision of the profile. Raises BadInput, CodexError."""
        profile = library.require_profile(path, {"dataset.revision": revision} if revision else {})
        if not names:
            how = "Name a FILE after the command"
            return cls(sources.find_profile_source(profile, path, None, report, how_to_name=how), profile, path)
        joined = sources.add_eval_path(_join_sources(names, profile.dataset, report), profile.dataset, path.parent)
        return cls(joined, profile, path, names=tuple(names))

    @classmethod
    def from_files(
        cls, names: Sequence[str], revision: str | None = None, report: OnProgress = ignore_progress
    ) -> Target:
        """Return the rows of `names` without a profile. Raises BadInput, CodexError."""
        return cls(_join_sources(names, Dataset(revision=revision), report))

    @property
    def settings(self) -> Profile:
        """The profile, or a profile with all defaults if there is none."""
        return self.profile or Profile.model_validate({"model": {"name": "-"}})

    @property
    def label(self) -> str:
        """A short name of the dataset."""
        files = self.source.files
        if self.source.hub or ":" in self.source.name[:8]:
            return self.source.name
        if len(files) == 1:
            return files[0].name
        several = NAME_SEPARATOR in self.source.name
        return (
            f"{files[0].name} and {len(files) - 1} more"
            if several
            else f"{Path(self.source.name).name}, {len(files)} files"
        )

    @property
    def profile_name(self) -> str:
        """The name of the profile or of the run, "" if there is neither."""
        return self.path.stem if self.path else self.run.name if self.run else ""

    def describe(self, rows: str) -> str:
        """Return the title of a screen with these rows: the dataset, `rows`, and the profile or the run."""
        parts = [self.label, rows]
        if self.profile_name:
            parts.append(f"{'run' if self.run else 'profile'} {self.profile_name}")
        return " · ".join(filter(None, parts))

    def prepare_worker_target(self) -> Path | None:
        """Return what the inspect worker reads: the run directory, or a config.json that this method writes into the
        app's cache. Returns None without a profile. Raises OSError."""
        if self.run is not None or self.profile is None:
            return self.run.path if self.run else None
        resolved = self.profile.model_dump(mode="json")
        folder = self.path.parent if self.path else Path()
        resolved["model"] = resolve_model_paths(resolved["model"], folder)
        config = RunConfig(profile=resolved, **sources.to_config_fields(self.source), cache=str(locations.cache_home()))
        text = config.to_json()
        place = locations.cache_home() / "views" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(place, text)
        delete_oldest(place.parent, "*.json", kept.MAX_FILES)
        return place


def find_local_target(profile: Profile, path: Path, name: str | None) -> Target | None:
    """Return the rows that a run of `profile`, loaded from `path`, would use; the dataset `name` replaces its own.
    Returns None for a repository of the Hub: nothing is downloaded. Raises BadInput."""
    dataset = name or profile.dataset.path
    if dataset is not None and hub_id(dataset, Path() if name else path.parent) is not None:
        return None
    source = sources.find_profile_source(profile, path, name)
    return Target(source, profile, path, names=(name,) if name else ())


def _join_sources(names: Sequence[str], dataset: Dataset, report: OnProgress) -> Source:
    parts = [sources.find_source(name, dataset=dataset, report=report) for name in names]
    if len(parts) == 1:
        return parts[0]
    return Source(
        NAME_SEPARATOR.join(source.name for source in parts),
        (
            *(path for source in parts for path in source.train_files),
            *(path for source in parts for path in source.eval_files),
        ),
        left_out=tuple(left for source in parts for left in source.left_out),
        validation_files=sum(source.validation_files for source in parts),
    )
