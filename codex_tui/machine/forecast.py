"""The forecast of a profile on this machine: finds the model's shape, the card and what was measured here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from codex_tui.base.text import pluralize
from codex_tui.machine import facts, gpu
from training.contract.model_path import find_model_folder, is_path, resolve_model_name
from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory import probes, remedies
from training.memory.disk import DiskNeed, disk_need
from training.memory.forecast import Forecast, Machine, Remedy, check_modules, forecast
from training.memory.model_shape import ModelShape, NoShape, shipped_configs
from training.memory.wsl import wsl


@dataclass(frozen=True)
class NoForecast:
    """Why there is none, in one sentence."""

    reason: str


@dataclass(frozen=True)
class Card:
    """A GPU as NVML sees it now, in MiB; `used_mib` counts every program's memory."""

    name: str
    total_mib: float
    free_mib: float
    used_mib: float


def card(device: int | str = "auto") -> Card | None:
    """The card that hardware.device picks; None where there is none, or NVML does not tell."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    index = device if isinstance(device, int) else int(first) if device == "auto" and first.isdigit() else None
    if index is None:
        return None
    try:
        nvml = gpu.load_nvml()
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory, name = nvml.nvmlDeviceGetMemoryInfo(handle), nvml.nvmlDeviceGetName(handle)
    except gpu.NvmlUnavailable:
        return None
    except nvml.NVMLError:
        return None
    return Card(str(name), memory.total / MIB, memory.free / MIB, memory.used / MIB)


def of(profile: Profile, path: Path, card_mib: float | None) -> Forecast | NoForecast:
    """The forecast of `profile`, which is the file at `path`, for a card of `card_mib`; what was measured on the card
    that is here counts where it is that one."""
    shape = _shape_on_card(profile, path)
    return shape if isinstance(shape, NoForecast) else forecast(profile, shape, _machine(profile, path, card_mib))


def remedies_of(profile: Profile, path: Path, card_mib: float | None) -> list[Remedy]:
    """What would make it smaller, ranked; [] where there is no forecast."""
    shape = _shape_on_card(profile, path)
    return [] if isinstance(shape, NoForecast) else remedies.remedies(profile, shape, _machine(profile, path, card_mib))


def disk_of(profile: Profile, path: Path) -> DiskNeed | None:
    """What the run will write; None where the model's shape is not known."""
    shape = _shape(profile, path)
    if isinstance(shape, NoForecast):
        return None
    return disk_need(profile, shape, on_cpu=card(profile.hardware.device) is None)


def disk_free_mib() -> float:
    """Where runs are kept."""
    return facts.disk_free_gib() * 1024


def disk_warning(profile: Profile, path: Path) -> str:
    """One sentence where the run is forecast to fill the disk, "" where it does not or nothing is known."""
    need = disk_of(profile, path)
    if need is None or need.total_mib < (free := disk_free_mib()):
        return ""
    return (
        f"{path.stem} is forecast to take {need.total_mib:,.0f} MiB of disk, {need.checkpoint_mib:,.0f} for each of"
        f" {pluralize(need.checkpoints, 'checkpoint')}, and {free:,.0f} are free in {locations.runs_home()}."
    )


def _shape_on_card(profile: Profile, path: Path) -> ModelShape | NoForecast:
    if profile.hardware.device == "cpu":
        return NoForecast("It runs on the CPU and takes nothing of a card.")
    return _shape(profile, path)


def _shape(profile: Profile, path: Path) -> ModelShape | NoForecast:
    name = profile.model.name
    config = _config(name, profile.model.revision, path)
    if config is None and is_path(name):
        return NoForecast(f"{name} is not a model's folder: there is no config.json in it that can be read.")
    if config is None:
        return NoForecast(f"{name} is not on this machine yet, so its size is not known; the first run downloads it.")
    try:
        shape = ModelShape.of(config)
        check_modules(profile, shape)
        return shape
    except NoShape as missing:
        return NoForecast(f"{name} can't be forecast: {missing}.")


def _machine(profile: Profile, path: Path, card_mib: float | None) -> Machine:
    found = Machine(card_mib, expandable_segments=not wsl())
    here = card(profile.hardware.device)
    if here is None or card_mib is None or round(here.total_mib) != round(card_mib):
        return found
    cache = locations.cache_home()
    if last := probes.latest(cache, here.name):
        found = replace(found, context_mib=last.context_mib)
    # A launch writes this name into the run, and the trainer stores what it measures under the run's profile.
    name = resolve_model_name(profile.model.name, path.parent)
    profile = profile.model_copy(update={"model": profile.model.model_copy(update={"name": name})})
    if probed := probes.read(cache, here.name, profile):
        found = replace(found, measured=probed.measured)
    return found


def _config(name: str, revision: str | None, path: Path) -> dict[str, Any] | None:
    """The model's config.json: shipped with the app, in a local folder, or in the Hub's cache."""
    if (shipped := shipped_configs().get(name)) is not None:
        return shipped
    if folder := find_model_folder(name, path.parent):
        return _read(folder / "config.json")
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except ValueError:  # no name that the Hub could have
        return None
    return _read(Path(found)) if isinstance(found, str) else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None
