"""Collects the files of a run's adapter, and the facts of its card, for a push to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from codex_tui.base.errors import BadInput
from codex_tui.base.text import clean, format_duration
from codex_tui.hub.cards import TrainedRun, hide_home
from codex_tui.hub.push import CARD
from codex_tui.runs.follower import snapshot
from codex_tui.runs.outcome import read_config
from codex_tui.runs.watched import WatchedRun
from training.contract.config import RunConfig, get_table
from training.contract.model_path import is_path
from training.contract.run_directory import RunDirectory
from training.dataset.source import DEMO_DATASET, hub_id


def list_adapter_files(run: RunDirectory) -> list[Path]:
    """List the files of adapter and tokenizer, without the card that PEFT writes. Raises BadInput if the run is
    training or has no adapter."""
    if run.is_trainer_alive():
        raise BadInput(f"{run.name} is training.", f"Wait until it ends, or stop it: codex-tui stop {run.name}")
    if not run.has_adapter():
        raise BadInput(f"{run.name} has no adapter.", f"Finish the training: codex-tui resume {run.name}")
    return sorted(
        path
        for path in run.adapter.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and path.name != CARD
        and not any(part.startswith(".") for part in path.relative_to(run.adapter).parts)
    )


def describe_run(run: RunDirectory) -> TrainedRun:
    """Collect the facts for the model card. Raises BadInput if config.json can't be read."""
    config = read_config(run)
    base = str(
        get_table(config.actual, "model").get("name") or get_table(config.profile, "model").get("name") or "unknown"
    )
    base_is_repo = hub_id(base) is not None
    return TrainedRun(
        run.name,
        base if base_is_repo else Path(base).name,
        base_is_repo,
        _list_results(snapshot(run)),
        _list_dataset_facts(config),
        hide_home(tomli_w.dumps(_make_portable(config.profile))),
        {name: version for name, version in config.stack.items() if version},
    )


def _list_results(watched: WatchedRun) -> dict[str, str]:
    state = watched.state
    total = f" of {state.total_steps:,}" if state.total_steps else ""
    facts = {"state": watched.status, "steps": f"{state.step:,}{total}"}
    if state.last and state.last.loss is not None:
        facts["last training loss"] = f"{state.last.loss:.4f} (step {state.last.step:,})"
    evals = [(event.eval_loss, event.step) for event in state.evals if event.eval_loss is not None]
    if evals:
        facts["last evaluation loss"] = f"{evals[-1][0]:.4f} (step {evals[-1][1]:,})"
        facts["best evaluation loss"] = f"{min(evals)[0]:.4f} (step {min(evals)[1]:,})"
    if state.started_at and state.ended_at:
        facts["time"] = format_duration(state.ended_at - state.started_at - state.paused)
    if state.resolved:
        facts["device"] = state.resolved.device
        facts["trained parameters"] = f"{state.resolved.trainable_parameters:,}"
    return facts


def _list_dataset_facts(config: RunConfig) -> dict[str, str]:
    """List the dataset's name and numbers. The name has no folders, because they may contain a person's name."""
    name, fingerprint = config.dataset, config.dataset_fingerprint
    facts = {"name": name if name == DEMO_DATASET or hub_id(name) else Path(name).name}
    labels = {
        "sha256": "sha256",
        "revision": "revision",
        "rows": "rows",
        "train_rows": "training rows",
        "eval_rows": "evaluation rows",
        "dropped_rows": "skipped rows",
        "truncated_rows": "rows cut at the sequence length",
    }
    for key, label in labels.items():
        if (value := getattr(fingerprint, key, None)) is not None:
            facts[label] = f"{value:,}" if isinstance(value, int) else clean(value)
    return facts


def _make_portable(profile: dict[str, Any]) -> dict[str, Any]:
    """Return the profile without None, which TOML does not have, and with file names instead of paths."""
    portable = {
        name: {key: value for key, value in table.items() if value is not None} if isinstance(table, dict) else table
        for name, table in profile.items()
        if table is not None
    }
    for table, key in (("model", "name"), ("dataset", "path")):
        value = get_table(portable, table).get(key)
        if isinstance(value, str) and is_path(value):
            portable[table][key] = Path(value).name
    return portable
