"""Finds the speed of the last run with a model on this GPU, and the time to load the model. They give the time of
another run."""

from __future__ import annotations

from pathlib import Path

from codex_tui.base.errors import CodexError
from codex_tui.machine import forecast
from codex_tui.runs import library
from codex_tui.runs.loading_time import measure_start
from codex_tui.runs.pace import average_uninterrupted
from training.contract import events as ev
from training.contract.config import ConfigError, RunConfig, get_table
from training.contract.model_path import resolve_model_name
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.history import tailer

MAX_RUNS = 50  # the newest runs, which are searched
MIN_LOGGED_STEPS = 3  # without the first step of an attempt, which is slower


def find_last_speed(profile: Profile, profile_file: Path | None = None) -> float | None:
    """Return the tokens a second of the newest run with the model of `profile` on the device that it picks, without the
    time of evaluations, checkpoints and pauses. Returns None if no such run has logged a few steps.

    A run with passes of another size does not count, unless the profile leaves their size to the forecast.
    """
    return find_last_speed_on(forecast.read_card(profile.hardware.first_device), profile, profile_file)


def find_last_speed_on(card: forecast.Card | None, profile: Profile, profile_file: Path | None = None) -> float | None:
    """Return the same as `find_last_speed` for a device that is known: `card`, or None for the CPU. For a profile that
    is trained elsewhere, the device is whatever the last run of that place had."""
    name = resolve_model_name(profile.model.name, profile_file.parent if profile_file else Path())
    count = profile.ranks
    for run in _list_newest_runs():
        config = _read_config(run)
        if config is None or _read_model_name(config) != name or not _is_of_place(run, profile):
            continue
        if _has_other_passes(config, profile):
            continue
        if speed := _compute_speed(run, card.name if card else None, count, not profile.launch.is_local):
            return speed
    return None


def find_last_loading_time(profile: Profile, profile_file: Path | None = None) -> float | None:
    """Return the seconds from the start to the first step of the newest run with the model of `profile` in the same
    place; None if there is none."""
    name = resolve_model_name(profile.model.name, profile_file.parent if profile_file else Path())
    runs = ((run, _read_config(run)) for run in _list_newest_runs())
    same = (run for run, config in runs if config and _read_model_name(config) == name and _is_of_place(run, profile))
    return next((times.first_step for run in same if (times := measure_start(run))), None)


def _read_config(run: RunDirectory) -> RunConfig | None:
    try:
        return RunConfig.read(run.config)
    except ConfigError:
        return None


def _read_model_name(config: RunConfig) -> str:
    """The model of a run; "" if it has none. Earlier apps wrote ~/model, this one the absolute path."""
    name = get_table(config.profile, "model").get("name")
    return resolve_model_name(name) if isinstance(name, str) else ""


def _has_other_passes(config: RunConfig, profile: Profile) -> bool:
    """Whether the passes of a run are known to have another size than those of `profile`."""
    asked, ran = (get_table(tables, "training") for tables in (config.profile, config.actual))
    packing = profile.training.packing
    if (asked.get("packing") == "off") != (packing == "off"):
        return True
    rows, steps = ran.get("per_device_train_batch_size"), ran.get("gradient_accumulation_steps")
    if ran.get("packing") == "flatten":  # all rows of a step share a pass
        divided = profile.ranks if profile.launch.keep_batch else 1
        rows = rows * steps // divided if isinstance(rows, int) and isinstance(steps, int) else None
    return packing != "auto" and rows is not None and rows != profile.pass_rows


def _list_newest_runs() -> list[RunDirectory]:
    try:
        return library.list_run_directories()[:MAX_RUNS]
    except CodexError:  # a check of a dataset must not fail because of a run
        return []


def _is_of_place(run: RunDirectory, profile: Profile) -> bool:
    """Whether `run` was trained where `profile` is."""
    record, launch = run.read_engine(), profile.launch
    if record is None or launch.is_local:
        return record is None and launch.is_local
    return record.engine == launch.engine and (launch.shares_folder or record.host == launch.ssh.remote)


def _compute_speed(run: RunDirectory, card: str | None, processes: int, any_device: bool) -> float | None:
    token_seconds: list[float] = []
    device, first = "", True
    for event in tailer.sample_events(run.events):
        if isinstance(event, ev.Started):
            first = True
        elif isinstance(event, ev.Resolved):
            device = event.device
        elif isinstance(event, ev.Metrics) and event.tokens_per_second:
            if not first:
                token_seconds.append(1 / event.tokens_per_second)
            first = False
    count, _, device = device.rpartition(" x ")  # "2 x cuda:0 (...)" of several processes
    same_device = any_device or (device.endswith(f"({card})") if card else device == "cpu")
    same_device = same_device and (count or "1") == str(processes)
    seconds = average_uninterrupted(token_seconds)
    return 1 / seconds if same_device and seconds and len(token_seconds) >= MIN_LOGGED_STEPS else None
