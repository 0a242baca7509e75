"""Summarises one run for the list of runs: how far it came, how it ended, its best evaluation and its size."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from codex_tui.runs.facts import read_facts, read_note
from codex_tui.runs.fitted import make_fit_json
from codex_tui.runs.healed import make_json as make_heal_json
from codex_tui.runs.healed import summarise_heals
from codex_tui.runs.judged import JudgedSummary, summarise_judgements
from codex_tui.runs.library import read_created
from codex_tui.runs.outcome import describe_newer_events, describe_resume
from codex_tui.runs.pass_rates import make_json
from codex_tui.runs.watched import ENDED, ShownStatus, WatchedRun
from training.contract import events as ev
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory
from training.history.reduce import apply_fit, reduce_all
from training.history.state import RunState, compute_elapsed


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the list of runs. `model`, `dataset`, `profile_name` and `note` are clean; the other texts are raw.

    `created` is in Unix seconds. `seconds` is the time of training, None before it began. `reason` is a sentence that
    says why the run ended, is held or waits, and `ends` what ends that. `resume_step` is the step that a resume would
    continue from, 0 for the start. It is None if the run is training or done, or if no resume is possible: `broken`
    then gives the reason. `position` is the run's place among the queued runs of its card, from 1; None if it is not
    queued.
    """

    name: str
    directory: str
    status: ShownStatus
    profile_name: str = ""
    model: str = ""
    dataset: str = ""
    step: int = 0
    total_steps: int | None = None
    loss: float | None = None
    eval_loss: float | None = None
    best_eval_loss: float | None = None
    best_eval_step: int | None = None
    seconds: float | None = None
    disk_bytes: int = 0
    note: str = ""
    has_adapter: bool = False
    created: float = 0.0
    reason: str = ""
    resume_step: int | None = None
    broken: str = ""
    judgements: tuple[JudgedSummary, ...] = ()
    pass_rate: ev.PassRate | None = None  # the last one
    held: ev.Held | None = None  # while the keeper waits to start the next attempt
    ends: str = ""
    engine: EngineRecord | None = None  # where the run was sent; None for a run that was started on its machine
    place: str = ""  # the other machine or cluster that has or had it; "" for this one
    healed: tuple[ev.Healed, ...] = ()
    fitted: ev.Fitted | None = None
    position: int | None = None

    @property
    def path(self) -> Path:
        return Path(self.directory)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def remedy(self) -> str:
        """One sentence: what ends a hold, from which step a resume would continue, or why none is possible. "" if
        `reason` has it."""
        if self.ends:
            return self.ends
        remedy = self.broken or ("" if self.resume_step is None else describe_resume(self.resume_step))
        return "" if remedy in self.reason else remedy

    @property
    def remark(self) -> str:
        """The reason why the run ended, the remedy, and what the keeper changed. A run elsewhere says where it is."""
        reason = self.reason or (f"On {self.place}." if self.place and not self.ended else "")
        return " ".join(filter(None, (reason, self.remedy, summarise_heals(self.healed))))

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.status,
            "directory": self.directory,
            "model": self.model,
            "dataset": self.dataset,
            "step": self.step,
            "total_steps": self.total_steps,
            "loss": self.loss,
            "eval_loss": self.eval_loss,
            "best_eval_loss": self.best_eval_loss,
            "best_eval_step": self.best_eval_step,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "disk_bytes": self.disk_bytes,
            "note": self.note,
            "adapter": str(RunDirectory(self.directory).adapter) if self.has_adapter else None,
            "reason": self.reason,
            "held": _make_held_json(self.held) if self.held else None,
            "place": self.place,
            "engine": msgspec.to_builtins(self.engine) if self.engine else None,
            "queue_position": self.position,
            "resume_step": self.resume_step,
            "pass_rate": make_json(self.pass_rate) if self.pass_rate else None,
            "healed": [make_heal_json(event) for event in self.healed],
            "fitted": make_fit_json(self.fitted) if self.fitted else None,
            "judgements": [one.as_json() for one in self.judgements],
        }


def summarise(run: RunDirectory) -> RunSummary:
    """Read the files of `run`. Takes milliseconds; a long run whose events are not cached is read once more."""
    from codex_tui.runs.follower import snapshot

    watched, facts = snapshot(run), read_facts(run)
    state = complete_evaluations(run, watched) if watched.sampled else watched.state
    newer = facts.newer or describe_newer_events(run.name, state)
    best = find_best_evaluation(state)
    return RunSummary(
        name=run.name,
        directory=str(run.path),
        status=watched.status,
        profile_name=facts.profile_name,
        model=facts.model,
        dataset=facts.dataset,
        step=state.step,
        total_steps=state.total_steps,
        loss=state.last.loss if state.last else None,
        eval_loss=state.evals[-1].eval_loss if state.evals else None,
        best_eval_loss=best.eval_loss if best else None,
        best_eval_step=best.step if best else None,
        seconds=compute_elapsed(state),
        disk_bytes=measure_folder(run.path),
        note=read_note(run),
        has_adapter=run.has_adapter(),
        created=read_created(str(run.path)),
        reason=f"{newer} {_explain_end(watched)}".strip(),
        resume_step=watched.leftovers.resume_step,
        broken=watched.leftovers.broken,
        judgements=tuple(summarise_judgements(run)),
        pass_rate=state.pass_rates[-1] if state.pass_rates else None,
        held=watched.held,
        ends=watched.ends,
        engine=watched.engine,
        place=watched.place,
        healed=tuple(state.healed),
        fitted=state.fitted,
    )


def _make_held_json(held: ev.Held) -> dict[str, Any]:
    return {"reason": held.reason, "ends": held.ends, "step": held.step, "since": held.time, "until": held.until}


def find_best_evaluation(state: RunState) -> ev.Eval | None:
    """Return the evaluation with the lowest loss; the first of equal ones."""
    finite = [one for one in state.evals if one.eval_loss is not None and math.isfinite(one.eval_loss)]
    return min(finite, key=lambda one: one.eval_loss or 0.0, default=None)


def complete_evaluations(run: RunDirectory, watched: WatchedRun) -> RunState:
    """Return the sampled state with every evaluation, pass rate, heal, break and the last fit, which a sample may have
    missed."""
    from training.history.tailer import find_landmarks

    landmarks = reduce_all(RunState(), find_landmarks(run.events))
    if landmarks.fitted:
        apply_fit(watched.state, landmarks.fitted)
    return replace(
        watched.state,
        evals=landmarks.evals,
        pass_rates=landmarks.pass_rates,
        healed=landmarks.healed,
        paused=landmarks.paused,
    )


def measure_folder(path: Path) -> int:
    """Add up the sizes of all files under `path`, without following links. Files that can't be seen count as 0."""
    return sum(_list_sizes(str(path)))


def _list_sizes(folder: str) -> Iterator[int]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _list_sizes(entry.path)
                else:
                    yield entry.stat(follow_symlinks=False).st_size
    except OSError:
        return


def _explain_end(watched: WatchedRun) -> str:
    failure = watched.state.failure
    if watched.status == "failed" and failure and failure.hint:
        return f"{watched.reason} {failure.hint}"
    return watched.reason
