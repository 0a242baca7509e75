"""A profile, its model and its rows in a folder, and a count of what a launch does with them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codex_tui.data import sources
from codex_tui.machine import forecast
from codex_tui.profiles import resolve
from training.contract.units import MIB
from training.dataset.rows import Rows
from training.memory.model_shape import shipped_configs

_shape_files: dict[str, Counter[str]] = {}  # the counter of each watched config.json, by its path


def _count_shape(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _shape_files and isinstance(arguments[0], str | Path):
        counts = _shape_files.get(str(arguments[0]))
        if counts is not None:
            counts["shape"] += 1


sys.addaudithook(_count_shape)  # Python has no way to remove it; without watched files it does nothing


def write_profile(folder: Path) -> Path:
    """A profile beside its model and its rows. It does not fit into 4 GB, so that a forecast looks for remedies."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text(
        json.dumps(shipped_configs()["unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit"])
    )
    (folder / "rows.jsonl").write_text('{"instruction": "Who?", "response": "Rook."}\n' * 3)
    profile = folder / "counted.toml"
    profile.write_text('[model]\nname = "./model"\n[dataset]\npath = "rows.jsonl"\n')
    return profile


def count_launch_work(profile: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """From now on: how often the driver is asked, the profile resolved, its model's shape and all its rows read."""
    counts: Counter[str] = Counter()

    def memory_info(handle: int) -> Any:
        counts["driver"] += 1
        return SimpleNamespace(total=4096 * MIB, free=3790 * MIB, used=306 * MIB)

    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlDeviceGetHandleByIndex=int,
        nvmlDeviceGetMemoryInfo=memory_info,
        nvmlDeviceGetName=lambda handle: "NVIDIA GeForce RTX 3050 Laptop GPU",
    )
    real_resolve = resolve.resolve

    def count_resolved(*arguments: Any) -> resolve.Resolved:
        counts["profile"] += 1
        return real_resolve(*arguments)

    real_read = sources.read

    def count_read(*arguments: Any) -> Rows:
        counts["rows"] += 1
        return real_read(*arguments)

    monkeypatch.setattr(sources, "read", count_read)
    monkeypatch.setattr(forecast, "load_nvml", lambda: nvml)
    monkeypatch.setattr(resolve, "resolve", count_resolved)
    monkeypatch.setitem(_shape_files, str(profile.parent / "model" / "config.json"), counts)
    return counts


ONCE_EACH = {"driver": 1, "profile": 1, "shape": 1, "rows": 1}
