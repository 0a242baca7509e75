"""Estimates how long a run takes before anybody has counted its tokens: for the queue, and for a sweep."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import sqrt
from pathlib import Path

from codex_tui.data.duration import find_speed
from codex_tui.data.speed import find_last_loading_time, find_last_speed_on
from codex_tui.data.time_fit import TimeFit, forecast_time_fit
from codex_tui.machine.forecast import ResourceForecast, forecast_resources
from codex_tui.runs.time_left import estimate_time_left
from training.contract.config import ConfigError, RunConfig
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.source import Source
from training.dataset.split import choose_eval_rows, count_steps, count_train_rows
from training.history.state import RunState

BYTES_PER_TOKEN = 4  # of a row in its file, about


def estimate_row_tokens(profile: Profile, source: Source, rows: int) -> float:
    """Estimate the mean length of the rows of `source` after the cut, from the size of its files. `rows` are the good
    ones."""
    size = 0
    for file in source.files:
        with suppress(OSError):
            size += file.stat().st_size
    return min(profile.model.max_seq_length, size / BYTES_PER_TOKEN / max(1, rows))


def estimate_tokens(profile: Profile, source: Source, rows: int, train_rows: int) -> int:
    """Estimate the tokens that a run of `profile` trains on. `rows` are the good ones of `source`, of which
    `train_rows` are not held out."""
    steps = count_steps(profile, train_rows)
    return round(estimate_row_tokens(profile, source, rows) * train_rows * steps.total / max(1, steps.per_epoch))


def estimate_time_fit(
    profile: Profile,
    path: Path,
    source: Source,
    rows: int,
    validation_rows: int,
    resources: ResourceForecast,
    deadline: float,
) -> TimeFit | None:
    """Estimate how many steps of a run of `profile`, loaded from the file at `path`, fit until `deadline`. `rows` are
    the good ones of `source`, and the last `validation_rows` of them are only for the evaluation. Returns None if no
    speed is known."""
    train_rows = count_train_rows(rows, profile, validation_rows)
    steps, tokens = count_steps(profile, train_rows), estimate_tokens(profile, source, rows, train_rows)
    epochs = max(1.0, steps.total / max(1, steps.per_epoch))
    last = find_last_speed_on(resources.card, resources.resolved, path)
    speed = find_speed(resources, tokens / epochs / max(1, train_rows), last)
    if speed is None:
        return None
    eval_share = len(choose_eval_rows(rows, profile, validation_rows)) / max(1, train_rows)
    loading = find_last_loading_time(profile, path)
    return forecast_time_fit(profile, steps, tokens, speed, deadline, eval_share=eval_share, loading=loading)


class TimeEstimates:
    """Estimates the seconds of runs. It looks once for the speed of each model with passes of the same size."""

    def __init__(self) -> None:
        self._speeds: dict[tuple[int | str, ...], float | None] = {}

    def estimate_left(self, run: RunDirectory, state: RunState) -> float | None:
        """Estimate the seconds that `run` still trains, from its own steps or from the tokens that its launcher
        expected. Returns None if no speed is known."""
        for known in (state, replace(state, resume_step=0)):  # the second one has the steps of earlier attempts too
            if (left := estimate_time_left(known)) is not None:
                return left
        try:
            config, profile = RunConfig.read_with_profile(run.config)
        except ConfigError:
            return None
        tokens = config.planned_tokens
        share_left = 1 - state.step / state.total_steps if state.total_steps else 1.0
        return None if tokens is None else self.estimate(profile, round(share_left * tokens), run.profile)

    def estimate(
        self, profile: Profile, tokens: int, path: Path, resources: ResourceForecast | None = None
    ) -> float | None:
        """Estimate the seconds of a run of `profile`, loaded from the file at `path`, that trains on `tokens`."""
        model, training = profile.model, profile.training
        passes = training.packing, training.per_device_train_batch_size, training.gradient_accumulation_steps
        key = model.name, profile.hardware.first_device, model.max_seq_length, *passes
        if key not in self._speeds:
            resources = resources or forecast_resources(profile, path)
            last = find_last_speed_on(resources.card, resources.resolved, path)
            speed = find_speed(resources, profile.model.max_seq_length, last)
            self._speeds[key] = sqrt(speed.slow * speed.fast) if speed else None
        speed_found = self._speeds[key]
        return tokens / speed_found if speed_found else None
