"""Forecasts the GPU memory and the disk that a run will take on this machine, before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from codex_tui.base.text import format_gb, pluralize
from codex_tui.machine import facts
from codex_tui.machine.model_config import find_unknown_modules
from codex_tui.machine.power import find_power_warnings
from training.contract.model_path import is_path, resolve_model_name
from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory import probes, remedies
from training.memory.disk import DiskNeed, disk_need
from training.memory.forecast import Forecast, Machine, Measured, check_modules, forecast
from training.memory.model_config import find_config
from training.memory.model_shape import ModelShape, NoShape
from training.memory.module_names import UnknownModules
from training.memory.nvml import NvmlUnavailable, load_nvml
from training.memory.pass_size import LargerPasses, compare_passes, resolve_passes
from training.memory.remedies import Remedy
from training.memory.visible_gpu import first_visible_gpu
from training.memory.wsl import wsl

CPU_REASON = "It runs on the CPU and takes nothing of a card."
_GIGABYTES = re.compile(r"\b(\d{1,3}(?:\.\d)?) ?GB\b")


@dataclass(frozen=True)
class Card:
    """A GPU as NVML sees it now, in MiB. `used_mib` counts the memory of all programs."""

    name: str
    total_mib: float
    free_mib: float
    used_mib: float


@dataclass(frozen=True)
class ResourceForecast:
    """What a run of `profile` will take of this machine.

    `memory` is None where the GPU memory can't be forecast; `reason` then says why. `remedies` are changes that make
    the run smaller; the list is empty where the run fits well. `disk` is None where the model's shape is not known.
    `name` is the profile's name in messages. `no_card` says why the run would train on the CPU, although the profile
    does not ask for it; else it is "". `unknown_modules` says which modules of the table lora the model lacks. `shape`
    is None where it is not known. `missing_cards` says which of several cards are not in this machine, and
    `power_warnings` in a sentence each what may suspend or end the run here. `resolved` is the profile with the passes
    that training.packing = "auto" chooses on this card, or as it is where nothing is known of the card of another
    machine; `larger_passes` are None if they are those of the profile.
    """

    name: str
    profile: Profile
    resolved: Profile
    card: Card | None
    memory: Forecast | None
    reason: str
    remedies: list[Remedy]
    disk: DiskNeed | None
    disk_free_mib: float
    no_card: str = ""
    unknown_modules: UnknownModules | None = None
    shape: ModelShape | None = None
    missing_cards: str = ""
    power_warnings: tuple[str, ...] = ()
    larger_passes: LargerPasses | None = None

    @property
    def place(self) -> str:
        """The other machine or cluster that trains the run, "" for this one. Nothing is known of its cards here."""
        return self.profile.launch.place

    @property
    def cards_warning(self) -> str:
        """One sentence where the profile asks for several cards and some are not there, else ""."""
        return f"{self.name} can't train here: {self.missing_cards}." if self.missing_cards else ""

    @property
    def cpu_warning(self) -> str:
        """One sentence where the run would train on the CPU, although the profile does not ask for it, else ""."""
        if not self.no_card or self.profile.model.name.startswith("demo:"):
            return ""
        return f"No GPU can be used ({self.no_card}): {self.name} would train on the CPU, many times slower."

    @property
    def memory_warning(self) -> str:
        """One sentence where the run does not fit into this machine's card, else ""."""
        if self.card is None or self.memory is None or self.memory.fits is not False:
            return ""
        needed, limit = self.memory.device_mib, self.memory.limit_mib or 0
        return f"{self.name} is forecast to take {format_gb(needed)} of the card, and may take {format_gb(limit)}."

    @property
    def fills_disk(self) -> bool:
        return self.disk is not None and self.disk.total_mib >= self.disk_free_mib

    @property
    def disk_warning(self) -> str:
        """One sentence where the run would fill the disk, else ""."""
        if self.disk is None or not self.fills_disk:
            return ""
        return (
            f"{self.name} is forecast to take {format_gb(self.disk.total_mib)} of disk, "
            f"{format_gb(self.disk.checkpoint_mib)} for each of {pluralize(self.disk.checkpoints, 'checkpoint')}, "
            f"and {format_gb(self.disk_free_mib)} is free in {locations.runs_home()}."
        )


@dataclass(frozen=True)
class LengthForecasts:
    """The forecast of each max_seq_length, in `memory`, and the profile with that length and its passes, in
    `profiles`. Both are empty where no forecast can be made, and `reason` says why. `shape` is None where the model's
    shape is not known."""

    memory: list[Forecast]
    card: Card | None
    reason: str = ""
    shape: ModelShape | None = None
    profiles: tuple[Profile, ...] = ()


def forecast_resources(
    profile: Profile,
    path: Path,
    card_mib: float | None = None,
    *,
    use_title: bool = False,
    remote_card: Card | None = None,
) -> ResourceForecast:
    """Forecast what a run of `profile`, loaded from the file at `path`, will take here, or on the machine that the
    profile names. `remote_card` is that machine's card, if the caller has asked for it. Otherwise nothing is known of
    its cards, so that they fit only if `card_mib` says how large they are.

    `card_mib` compares it with a card of that size instead of the card of this machine. With `use_title`, a machine
    without a card compares it with the card in the profile's title. Call this in a thread: the driver may be slow to
    answer. It is asked once, and the model's config.json is read once.
    """
    is_local = profile.launch.is_local
    card = read_card(profile.hardware.first_device) if is_local else remote_card
    card_mib = card_mib or _find_card_size(profile, card, use_title)
    config = find_config(profile.model.name, profile.model.revision, path.parent)
    unknown_modules = find_unknown_modules(profile, config)
    shape, reason = (None, str(unknown_modules)) if unknown_modules else _find_shape(profile, config)
    memory, resolved, larger, changes = None, profile, None, []
    if profile.hardware.first_device == "cpu":
        reason = CPU_REASON
    elif shape:
        resolved, machine = _resolve_passes(profile, shape, path, card, card_mib)
        memory = forecast(resolved, shape, machine)
        larger = compare_passes(profile, resolved, shape, machine)
        changes = remedies.remedies(resolved, shape, machine) if memory.verdict in ("tight", "no") else []
    uses_disk = profile.launch.shares_folder
    disk = disk_need(profile, shape, on_cpu=is_local and card is None) if shape and uses_disk else None
    no_card = explain_no_card(profile.hardware.first_device) if is_local and card is None else ""
    disk_free = facts.disk_free_gib() * 1024
    missing_cards = explain_missing_cards(profile) if is_local else ""
    return ResourceForecast(
        path.stem, profile, resolved, card, memory, reason, changes, disk, disk_free, no_card, unknown_modules, shape,
        missing_cards,
        find_power_warnings(profile.keeper.inhibit_sleep) if is_local else (),
        larger,
    )  # fmt: skip


def forecast_lengths(
    profile: Profile, path: Path, lengths: Sequence[int], card_mib: float | None = None, *, use_title: bool = False
) -> LengthForecasts:
    """Forecast the GPU memory of `profile`, loaded from the file at `path`, for each max_seq_length of `lengths`. The
    other arguments are those of `forecast_resources`. Call this in a thread too."""
    card = read_card(profile.hardware.first_device) if profile.launch.is_local else None
    if profile.hardware.first_device == "cpu":
        return LengthForecasts([], card, CPU_REASON)
    shape, reason = _find_shape(profile, find_config(profile.model.name, profile.model.revision, path.parent))
    if shape is None:
        return LengthForecasts([], card, reason)
    card_mib = card_mib or _find_card_size(profile, card, use_title)
    pairs = [_resolve_passes(profile.with_max_seq_length(length), shape, path, card, card_mib) for length in lengths]
    forecasts = [forecast(resolved, shape, machine) for resolved, machine in pairs]
    return LengthForecasts(forecasts, card, shape=shape, profiles=tuple(resolved for resolved, _ in pairs))


def _find_card_size(profile: Profile, card: Card | None, use_title: bool) -> float | None:
    return card.total_mib if card else read_title_card(profile) if use_title else None


def read_title_card(profile: Profile) -> float | None:
    """The size in MiB of the card that the profile's title names, as in "4 GB card: Llama 3.2 3B"."""
    size = _GIGABYTES.search(profile.title)
    return 1024 * float(size[1]) if size else None


def read_card(device: int | str = "auto") -> Card | None:
    """Ask the driver for the card that hardware.device picks. None where there is no card, or no answer."""
    first = first_visible_gpu()
    index = device if isinstance(device, int) else int(first) if device == "auto" and first.isdigit() else None
    if index is None:
        return None
    try:
        nvml = load_nvml()
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory, name = nvml.nvmlDeviceGetMemoryInfo(handle), nvml.nvmlDeviceGetName(handle)
    except NvmlUnavailable:
        return None
    except nvml.NVMLError:
        return None
    return Card(str(name), memory.total / MIB, memory.free / MIB, memory.used / MIB)


def explain_no_card(device: int | str) -> str:
    """Say why a run with this hardware.device would train on the CPU; "" if it asks for the CPU, or if it is not
    certain."""
    first = first_visible_gpu()
    if device == "cpu" or (device == "auto" and first and not first.isdigit()):
        return ""
    if device == "auto" and not first:
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    try:
        return "" if load_nvml().nvmlDeviceGetCount() else "the NVIDIA driver knows no GPU"
    except NvmlUnavailable as unavailable:
        return str(unavailable)
    except Exception:  # noqa: BLE001  a driver fails in many ways
        return "the NVIDIA driver does not answer"


def explain_missing_cards(profile: Profile) -> str:
    """Say which of the several cards that the profile asks for are not in this machine; "" if all are, if it asks for
    one, or if the driver does not tell."""
    device, processes = profile.hardware.device, profile.processes
    if processes == 1 or device == "cpu":
        return ""
    try:
        count = int(load_nvml().nvmlDeviceGetCount())
    except Exception:  # noqa: BLE001  a driver fails in many ways
        return ""
    has = f"this machine has {pluralize(count, 'GPU')}"
    if isinstance(device, list):
        missing = [str(number) for number in device if number >= count]
        return f"hardware.device names GPU {' and '.join(missing)}, and {has}" if missing else ""
    return f"launch.processes asks for {processes} GPUs, and {has}" if count and processes > count else ""


def _find_shape(profile: Profile, config: dict[str, Any] | None) -> tuple[ModelShape | None, str]:
    """The model's shape, or None and the reason why it is not known."""
    name = profile.model.name
    if config is None and is_path(name):
        return None, f"{name} is not a model's folder: there is no config.json in it that can be read."
    if config is None:
        return None, f"{name} is not on this machine yet, so its size is not known; the first run downloads it."
    try:
        shape = ModelShape.from_config(config)
        check_modules(profile, shape)
        return shape, ""
    except NoShape as missing:
        return None, f"{name} can't be forecast: {missing}."


def _resolve_passes(
    profile: Profile, shape: ModelShape, path: Path, card: Card | None, card_mib: float | None
) -> tuple[Profile, Machine]:
    """The profile with the passes that it has on the machine, and the machine to forecast for."""
    machine = _describe_machine(profile, card, card_mib)

    def find_measured(candidate: Profile) -> Measured | None:
        if not machine.card or not profile.launch.is_local:  # what was measured here is of the cards of this machine
            return None
        # A launch writes this name into the run, and the trainer stores what it measures under the run's profile.
        name = resolve_model_name(candidate.model.name, path.parent)
        probed = probes.read(locations.cache_home(), machine.card, candidate.with_value("model.name", name))
        return probed.measured if probed else None

    resolved = resolve_passes(profile, shape, machine, find_measured)
    if profile.training.packing == "auto" and not (machine.card or profile.launch.is_local):
        resolved = profile  # what "auto" chooses over there is not known here
    return resolved, replace(machine, measured=find_measured(resolved))


def _describe_machine(profile: Profile, card: Card | None, card_mib: float | None) -> Machine:
    """The machine to forecast for, without what was measured there. It has the name of `card` where `card_mib` is that
    card's size."""
    is_local = profile.launch.is_local
    machine = Machine(card_mib, expandable_segments=not (is_local and wsl()))
    if card is None or card_mib is None or round(card.total_mib) != round(card_mib):
        return machine
    machine = replace(machine, card=card.name)
    last = probes.latest(locations.cache_home(), card.name) if is_local else None
    return replace(machine, context_mib=last.context_mib) if last else machine
