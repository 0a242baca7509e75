"""Collects the files of a run's adapter, and the facts of its card, for a push to the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from codex_tui.base.errors import BadInput
from codex_tui.base.text import format_duration
from codex_tui.runs.follower import snapshot
from codex_tui.runs.outcome import read_config
from codex_tui.runs.watched import WatchedRun
from training.contract import files, judgement_file
from training.contract.card_text import CARD, END
from training.contract.checkpoints import ADAPTER
from training.contract.judgement import JudgementHead
from training.contract.model_card import ExportedModel, Results, make_model_card
from training.contract.run_directory import RunDirectory
from training.history.state import compute_elapsed


def list_adapter_files(run: RunDirectory) -> list[Path]:
    """List the files of adapter and tokenizer, without the card. Raises BadInput if the run is
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


def make_card(run: RunDirectory, exported: ExportedModel | None = None) -> Callable[[str, str, str], str]:
    """Return a function that makes the card of the adapter, or of the model `exported`. It takes the present card, the
    title of a new one, and the folder or repository of the model.

    An empty present card of an adapter stands for the card in its folder, if the trainer wrote it. Raises BadInput if
    config.json can't be read.
    """
    config = read_config(run)
    results = replace(collect_results(snapshot(run)), judgements=_list_judgements(run))
    local = "" if exported else _read_local_card(run)

    def make(old: str, title: str, place: str) -> str:
        old = old if old.strip() else local
        return make_model_card(old, title, run.name, config, results, place=place, exported=exported)

    return make


def update_local_card(run: RunDirectory) -> None:
    """Write the newest facts into the card in the adapter's folder, unless someone else wrote that card. Raises
    BadInput, OSError."""
    if _read_local_card(run):
        files.write_atomically(run.adapter / CARD, make_card(run)("", run.name, "."))


def _list_judgements(run: RunDirectory) -> list[JudgementHead]:
    """List the judgements of the adapter as it is now, the newest first. Those of older weights are left out."""
    try:
        with files.open_file(run.adapter / ADAPTER) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return []
    return [head for _, head in judgement_file.read_heads(run.judgements) if head.adapter.sha256 == sha256]


def collect_results(watched: WatchedRun) -> Results:
    state = watched.state
    loss = state.last.loss if state.last else None
    ended = state.started_at and state.ended_at
    return Results(
        watched.status,
        state.step,
        state.fitted.planned_steps if state.fitted else state.total_steps,
        loss=(state.last.step, loss) if state.last and loss is not None else None,
        evals=[(event.step, event.eval_loss) for event in state.evals if event.eval_loss is not None],
        adapter_step=state.adapter_step,
        duration=format_duration(compute_elapsed(state)) if ended else "",
        device=state.resolved.device if state.resolved else "",
        trained_parameters=state.resolved.trainable_parameters if state.resolved else None,
    )


def _read_local_card(run: RunDirectory) -> str:
    """Read the card in the adapter's folder. Returns "" if there is none, or if PEFT wrote it."""
    try:
        card = files.read(run.adapter / CARD).decode(errors="replace")
    except OSError:
        return ""
    return card if END in card else ""
