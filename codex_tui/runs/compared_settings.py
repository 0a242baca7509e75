"""The settings of a run in a form that can be compared: every field by its dotted name, with the value that ran."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codex_tui.base.secrets import redact
from codex_tui.base.text import clean, shorten
from training.contract.config import ConfigError, ConfigTooNew, Fingerprint, RunConfig, list_tables
from training.contract.run_directory import RunDirectory

UNKNOWN = "–"
TOO_DEEP = "…"  # stands for a value that is nested too deeply
MAX_TEXT = 400  # characters of a value that are shown
_LEFT_OUT = frozenset({"launch.name"})  # it names the run and changes nothing
_FOUR_BIT_COPY = re.compile(r"(-unsloth)?-bnb-4bit$")


@dataclass(frozen=True)
class ComparedSettings:
    """What config.json says about one run. All values are raw.

    `values` has the fields of the profile, and `versions` the packages that trained it. Both lack what is not known.
    `trouble` is a sentence if the file, or a part of it, can't be used.
    """

    values: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    fingerprint: Fingerprint | None = None
    has_validation_split: bool = False
    trouble: str = ""

    @property
    def base_model(self) -> str:
        """The base model without its owner and without the mark of a 4-bit copy. Copies have the same tokenizer."""
        name = str(self.values.get("model.name", ""))
        return name if Path(name).is_absolute() else _FOUR_BIT_COPY.sub("", name.rstrip("/").rpartition("/")[2])


def read_settings(run: RunDirectory) -> ComparedSettings:
    """Read the settings of `run`. A missing or damaged config.json leaves them unknown."""
    try:
        config = RunConfig.read(run.config)
    except ConfigTooNew as error:
        return ComparedSettings(trouble=f"{error.message} {error.hint}")
    except ConfigError as error:
        return ComparedSettings(trouble=f"config.json is {error.trouble}. The settings of this run are not known.")
    trouble = ""
    try:
        profile = RunConfig.read_with_profile(run.config)[1].model_dump(mode="json")
    except ConfigError as error:
        profile = config.profile
        trouble = f"config.json is {error.trouble}. Its settings are compared as they are written, without defaults."
    values = _flatten(profile) | _flatten(config.actual) | {"dataset.path": config.dataset}
    if found := config.dataset_fingerprint:
        values |= {
            "dataset.fingerprint": found.sha256[:12],
            "dataset.train_rows": found.train_rows,
            "dataset.eval_rows": found.eval_rows,
        }
    versions = {name: version for name, version in config.stack.items() if version}
    if config.app_version:
        versions["codex-tui"] = config.app_version
    return ComparedSettings(values, versions, config.dataset_fingerprint, bool(config.eval_files), trouble)


def find_differences(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names whose known values differ between the runs, in the order in which they first occur."""
    names = dict.fromkeys(name for values in settings for name in values)
    return [name for name in names if len({make_key(values[name]) for values in settings if name in values}) > 1]


def make_key(value: Any) -> str:
    """Return a text that is equal for equal values. A whole number equals the same number with a fraction of 0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return json.dumps(value, sort_keys=True, default=str)
    except RecursionError:  # no trainer writes such a value
        return TOO_DEEP


def format_setting(value: Any) -> str:
    """Format a value of config.json as one clean line without secrets. The end of a very long one is left out."""
    try:
        return shorten(_format(value), MAX_TEXT)
    except RecursionError:
        return TOO_DEEP


def _format(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list):
        return ", ".join(map(_format, value)) or "none"
    return clean(redact(str(value))) or '""'


def _flatten(profile: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of all tables by their dotted names."""
    return {
        name: value
        for table, fields in list_tables(profile)
        for key, value in fields.items()
        if (name := f"{table}.{key}") not in _LEFT_OUT
    }
