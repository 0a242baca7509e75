"""What of a run goes to the Hub: the files of its adapter, and what its card tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from codex_tui.base.errors import BadInput
from codex_tui.base.text import clean, format_duration
from codex_tui.hub.cards import Trained, home_hidden
from codex_tui.hub.push import CARD
from codex_tui.runs.follower import snapshot
from codex_tui.runs.outcome import read_config
from codex_tui.runs.watched import WatchedRun
from training.contract.config import RunConfig, get_table
from training.contract.model_path import is_path
from training.contract.run_directory import RunDirectory
from training.dataset.source import DEMO_DATASET, hub_id


def adapter_files(run: RunDirectory) -> list[Path]:
    """The adapter and its tokenizer, without the card that PEFT writes. Raises BadInput where there is no whole one."""
    if run.is_trainer_alive():
        raise BadInput(f"{run.name} is training.", f"Wait for its end, or: codex-tui stop {run.name}")
    if not run.has_adapter():
        raise BadInput(f"{run.name} has no adapter.", f"Train it to its end with: codex-tui resume {run.name}")
    return sorted(
        path
        for path in run.adapter.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and path.name != CARD
        and not any(part.startswith(".") for part in path.relative_to(run.adapter).parts)
    )


def trained(run: RunDirectory) -> Trained:
    """What the card says of the run. Raises BadInput if config.json can't be read."""
    config = read_config(run)
    base = str(
        get_table(config.actual, "model").get("name") or get_table(config.profile, "model").get("name") or "unknown"
    )
    base_is_repo = hub_id(base) is not None
    return Trained(
        run.name,
        base if base_is_repo else Path(base).name,
        base_is_repo,
        _results(snapshot(run)),
        _dataset(config),
        home_hidden(tomli_w.dumps(_portable(config.profile))),
        {name: version for name, version in config.stack.items() if version},
    )


def _results(watched: WatchedRun) -> dict[str, str]:
    state = watched.state
    of = f" of {state.total_steps:,}" if state.total_steps else ""
    facts = {"state": watched.status, "steps": f"{state.step:,}{of}"}
    if state.last and state.last.loss is not None:
        facts["last training loss"] = f"{state.last.loss:.4f} (step {state.last.step:,})"
    evals = [(found.eval_loss, found.step) for found in state.evals if found.eval_loss is not None]
    if evals:
        facts["last evaluation loss"] = f"{evals[-1][0]:.4f} (step {evals[-1][1]:,})"
        facts["best evaluation loss"] = f"{min(evals)[0]:.4f} (step {min(evals)[1]:,})"
    if state.started_at and state.ended_at:
        facts["time"] = format_duration(state.ended_at - state.started_at - state.paused)
    if state.resolved:
        facts["device"] = state.resolved.device
        facts["trained parameters"] = f"{state.resolved.trainable_parameters:,}"
    return facts


def _dataset(config: RunConfig) -> dict[str, str]:
    """The dataset's name without its folders, which may hold a person's name, and its numbers."""
    named, fingerprint = config.dataset, config.dataset_fingerprint
    facts = {"name": named if named == DEMO_DATASET or hub_id(named) else Path(named).name}
    words = {
        "sha256": "sha256",
        "revision": "revision",
        "rows": "rows",
        "train_rows": "trained on",
        "eval_rows": "held out",
        "dropped_rows": "dropped",
        "truncated_rows": "cut at the sequence length",
    }
    for key, word in words.items():
        if (value := getattr(fingerprint, key, None)) is not None:
            facts[word] = f"{value:,}" if isinstance(value, int) else clean(value)
    return facts


def _portable(profile: dict[str, Any]) -> dict[str, Any]:
    """Without what TOML has no word for, and with the names alone of files and folders."""
    kept = {
        name: {key: value for key, value in table.items() if value is not None} if isinstance(table, dict) else table
        for name, table in profile.items()
        if table is not None
    }
    for table, key in (("model", "name"), ("dataset", "path")):
        value = get_table(kept, table).get(key)
        if isinstance(value, str) and is_path(value):
            kept[table][key] = Path(value).name
    return kept
