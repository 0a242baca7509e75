"""Whether the GPU has room for a chat now, so that the model can be loaded before it is needed."""

from __future__ import annotations

from codex_tui.machine.forecast import forecast_resources
from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory

SPARE_MIB = 300.0  # for the cache of keys and values of a conversation, and for other programs


def has_room_for_chat(run: RunDirectory) -> bool:
    """Return whether the memory that is free on the card of `run` holds its model now; True without a card.

    Call this in a thread: it asks the driver.
    """
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
    return resources.card.free_mib >= parts["weights"] + parts["lora"] + parts["context"] + SPARE_MIB
