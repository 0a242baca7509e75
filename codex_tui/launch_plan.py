"""A launch before it happens: the profile resolved, the rows checked and the resources forecast, each of them once."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_tui.base.errors import BadInput, EnvironmentMissing
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.base.toml import format_literal
from codex_tui.data import sources
from codex_tui.data.run_time import estimate_time_fit, estimate_tokens
from codex_tui.data.time_fit import TimeFit, find_deadline
from codex_tui.engines.registry import get_engine
from codex_tui.hub.model import MissingModel, find_missing_model
from codex_tui.judge.books import load_profile_book
from codex_tui.machine import forecast
from codex_tui.machine.forecast import ResourceForecast
from codex_tui.profiles import library
from codex_tui.runs.changes import check_name, clean_name
from training.contract.profile import Profile
from training.dataset.book import QuestionBook
from training.dataset.source import Source
from training.dataset.split import count_steps, count_train_rows, find_sparse_logging

RowCounts = dict[tuple[Source, str], tuple[int, int]]
"""The good rows of a source under a profile's table dataset, and how many of them are its validation split."""


@dataclass(frozen=True)
class LaunchPlan:
    """What `launcher.launch` needs to start a run, apart from the interpreter.

    `profile_bytes` is the profile's file as it was when `profile` was resolved from it, under `overrides` (fields by
    dotted path). `good_rows` is the number of rows that can be used; the last `validation_rows` of them are only for
    the evaluation. It is None if only the training environment can read the rows and there is none yet; the launch
    checks them then. `name` is None if the launcher chooses the run's name. `missing_model` is None if the model is on
    this machine, or if nobody has looked for it. `book` has the questions that the profile's evaluation.book names.
    `until` is the run's deadline in Unix seconds. `fit` says what fits until then, or into the profile's hours; None if
    there is no limit, or if the speed or the rows are not known.
    """

    profile_file: Path
    profile_bytes: bytes
    profile: Profile
    overrides: Mapping[str, Any]
    source: Source
    good_rows: int | None
    resources: ResourceForecast
    name: str | None
    missing_model: MissingModel | None = None
    validation_rows: int = 0
    book: QuestionBook | None = None
    until: float | None = None
    fit: TimeFit | None = None

    @property
    def warnings(self) -> list[str]:
        """One sentence each: why the run may fail or take very long, although it is allowed to start."""
        resources, model = self.resources, self.missing_model
        problem = model.note if model and model.problem else ""
        warnings = (resources.memory_warning, resources.disk_warning, resources.cpu_warning, resources.cards_warning)
        fit = self.fit.describe() if self.fit and self.fit.is_short else ""
        texts = (
            *(warnings if self.profile.launch.is_local else ()),
            problem,
            self._logging_warning,
            fit,
            *(resources.power_warnings if self.profile.launch.is_local else ()),
        )
        return [text for text in texts if text]

    @property
    def _logging_warning(self) -> str:
        if self.good_rows is None:
            return ""
        train_rows = count_train_rows(self.good_rows, self.profile, self.validation_rows)
        sparse = find_sparse_logging(self.profile, count_steps(self.profile, train_rows).total)
        return f"{sparse.message} {sparse.remedy}" if sparse else ""

    @property
    def base_name(self) -> str:
        """What the run's name begins with, unless a person chooses the name."""
        return clean_name(self.profile.launch.name or self.profile_file.stem)

    @property
    def tokens(self) -> int | None:
        """About how many tokens the run trains on; None if its rows can't be counted yet."""
        if self.good_rows is None:
            return None
        train_rows = count_train_rows(self.good_rows, self.profile, self.validation_rows)
        return estimate_tokens(self.profile, self.source, self.good_rows, train_rows)

    @property
    def fit_note(self) -> str:
        """One sentence that says how many steps fit into the time limit; "" without one, or if a warning says it."""
        return self.fit.describe() if self.fit and not self.fit.is_short else ""

    @property
    def download_note(self) -> str:
        """One sentence where the run first downloads its model, else ""."""
        return self.missing_model.note if self.missing_model and not self.missing_model.problem else ""


def make_plan(
    profile_file: Path,
    *,
    dataset: str | None = None,
    name: str | None = None,
    overrides: Mapping[str, Any] = {},
    resources: ResourceForecast | None = None,
    find_model: bool = True,
    until: float | None = None,
    counts: RowCounts | None = None,
    report: OnProgress = ignore_progress,
) -> LaunchPlan:
    """Plan a fine-tune of the profile in `profile_file`. Nothing is written.

    `dataset` replaces the profile's own; `report` receives the progress of a download from the Hub. `resources` is a
    forecast that the caller has already; it is used if it was made of this very profile. With `find_model`, the plan
    says whether the model must be downloaded; without a network, that takes a few seconds. `counts` remembers the rows
    that earlier plans have checked.

    Raises BadInput where the name, the profile, the dataset or the book can't be used, where the model lacks modules of
    the table lora, where the run does not fit and launch.on_no_fit refuses it, or where its engine can't be used here;
    CodexError where the Hub fails, EngineSilent where the engine does not answer.
    """
    check_name(name)
    profile = library.require_profile(profile_file, overrides)
    is_local = profile.launch.is_local
    if not is_local:
        get_engine(profile.launch.engine).check(profile)
    profile_bytes = profile_file.read_bytes()
    source = sources.find_profile_source(profile, profile_file, dataset, report)
    book = load_profile_book(profile, profile_file.parent)
    counts = {} if counts is None else counts
    key = source, profile.dataset.model_dump_json()
    try:
        good_rows, validation_rows = counts[key] = counts.get(key) or sources.check_rows(source, profile.dataset)
    except EnvironmentMissing:
        good_rows, validation_rows = None, 0
    if resources is None or resources.profile != profile:
        resources = forecast.forecast_resources(profile, profile_file)
    if unknown := resources.unknown_modules:
        raise BadInput(unknown.message, unknown.hint)
    if is_local and resources.memory_warning and profile.launch.on_no_fit == "refuse":
        sets = [part for field, value in overrides.items() for part in ("--set", f"{field}={format_literal(value)}")]
        command = shlex.join(["codex-tui", "forecast", library.format_profile_argument(profile_file), *sets])
        raise BadInput(resources.memory_warning, f"To see which changes make it fit, run: {command}")
    missing = find_missing_model(profile, profile_file) if find_model and profile.launch.shares_folder else None
    fit = None
    if is_local and good_rows is not None and (deadline := find_deadline(profile, until)) is not None:
        fit = estimate_time_fit(profile, profile_file, source, good_rows, validation_rows, resources, deadline)
    return LaunchPlan(
        profile_file, profile_bytes, profile, overrides, source, good_rows, resources, name, missing, validation_rows,
        book, until, fit,
    )  # fmt: skip
