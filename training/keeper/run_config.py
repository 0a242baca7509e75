"""Reads config.json for the keeper, which needs few of its values and goes on without them."""

from __future__ import annotations

from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory


def read_config(run: RunDirectory) -> RunConfig:
    """Read the config.json of `run`. One that is missing or damaged has no settings; the trainer says what is wrong
    with it."""
    try:
        return RunConfig.read(run.config)
    except ConfigError:
        return RunConfig(profile={}, dataset="")
