"""Describes the settings that run with another value than the profile has."""

from __future__ import annotations

from typing import Any

from codex_tui.runs.compared_settings import format_setting

PASS_FIELDS = ("training.per_device_train_batch_size", "training.gradient_accumulation_steps")
"""Only training.packing = "auto" gives these another value."""


def describe_change(field: str, asked: Any, used: Any, reason: str) -> str:
    """Describe a change as "training.optim: adamw_8bit → adamw_torch (8-bit optimizers have no CPU kernels)"."""
    values = f"{field}: {format_setting(asked)} → {format_setting(used)}"
    return f"{values} ({reason})" if reason else values


def is_choice(field: str, asked: Any) -> bool:
    """Whether the profile leaves the setting to the trainer, so that nobody needs a warning."""
    return asked == "auto" or field in PASS_FIELDS
