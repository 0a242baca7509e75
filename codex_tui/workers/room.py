"""Whether the GPU has room for a chat: now, so that the model can be loaded before it is needed, and beside a run that
trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from codex_tui.base import settings
from codex_tui.machine.forecast import Card, forecast_resources
from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory
from training.memory.forecast import Forecast

ChatWay = Literal["beside", "trainer", "park"]
"""How a chat answers while its run trains. beside: a worker loads a second copy of the model. trainer: the trainer
answers between two steps. park: the run is parked, and the worker has the whole card."""

SPARE_MIB = 300.0  # for the cache of keys and values of a conversation, and for other programs


def has_room_for_chat(run: RunDirectory) -> bool:
    """Return whether the memory that is free on the card of `run` holds its model now; True without a card.

    Call this in a thread: it asks the driver.
    """
    return _has_room(run, lambda card, _: card.free_mib)


def has_room_beside(run: RunDirectory) -> bool:
    """Return whether the card holds the model of `run` twice: in its trainer, as large as it may become, and in a chat.
    True without a card. Call this in a thread too."""
    return _has_room(run, lambda card, memory: min(card.free_mib, card.total_mib - memory.device_mib))


def choose_way(run: RunDirectory) -> ChatWay | None:
    """Choose how a chat answers while `run` trains. None: ask the person, because the card holds one model.

    chat.during_training in settings.toml may choose otherwise. Call this in a thread too. Raises BadInput.
    """
    if run.is_mirror():  # its trainer is on another machine
        return "beside"
    choice = settings.load().chat_during_training
    if choice in ("trainer", "park"):
        return choice
    return "beside" if choice == "auto" and has_room_beside(run) else None


def _has_room(run: RunDirectory, count_left_mib: Callable[[Card, Forecast], float]) -> bool:
    try:
        _, profile = RunConfig.read_with_profile(run.config)
    except ConfigError:
        return False
    resources = forecast_resources(profile, run.config)
    if resources.card is None:
        return True
    if resources.memory is None:
        return False
    parts = resources.memory.components
    needed = parts["weights"] + parts["lora"] + parts["context"] + SPARE_MIB
    return count_left_mib(resources.card, resources.memory) >= needed
