"""config.json as plain JSON: for tests that look at the file, or write one that no launcher writes."""

from __future__ import annotations

import json
from typing import Any

from training.contract.files import write_atomically
from training.contract.run_directory import RunDirectory

REQUIRED: dict[str, Any] = {"profile": {}, "dataset": "demo:zombie-waves"}


def read_config(run: RunDirectory) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(run.config.read_text())
    return values


def write_config(run: RunDirectory, values: dict[str, Any]) -> None:
    """Write `values`, and a value for each key without which a config.json is damaged."""
    write_atomically(run.config, json.dumps(REQUIRED | values, indent=2, ensure_ascii=False) + "\n")
