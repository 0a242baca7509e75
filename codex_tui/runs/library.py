"""The runs there are: listed newest first, found by name, by a unique beginning, or as the last one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.runs.facts import read_facts
from codex_tui.runs.outcome import last_written, newer_events
from codex_tui.runs.state import RunState, Status, resumable
from training.contract.run_directory import RunDirectory


@dataclass(frozen=True)
class RunSummary:
    """A row of the list. `created` is Unix seconds; `reason` says in a sentence why it failed, stopped or was lost;
    `resume_step` is that of the checkpoint it can be gone on from, 0 where it would start again, None while it trains,
    when it is done, and where `broken` says why it can't be gone on with."""

    name: str
    path: Path
    status: Status
    profile_name: str
    step: int
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    adapter: Path | None
    created: float
    reason: str
    resume_step: int | None = None
    broken: str = ""

    @property
    def remedy(self) -> str:
        """What can be done, a sentence: from where it can be gone on with, or why not."""
        return self.broken or ("" if self.resume_step is None else resumable(self.resume_step))

    @property
    def remark(self) -> str:
        """Why it ended, and what can be done."""
        return self.reason if self.remedy in self.reason else f"{self.reason} {self.remedy}".strip()

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.status,
            "directory": str(self.path),
            "step": self.step,
            "total_steps": self.total_steps,
            "loss": self.loss,
            "eval_loss": self.eval_loss,
            "adapter": str(self.adapter) if self.adapter else None,
            "reason": self.reason,
            "resume_step": self.resume_step,
        }


def directories() -> list[RunDirectory]:
    """All run directories, newest first. Raises CodexError where they can't be looked at."""
    home = locations.runs_home()
    try:
        found = [run for path in home.iterdir() if is_run(run := RunDirectory(path))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CodexError(
            f"The runs in {home} can't be read: {error.strerror}.", "CODEX_TUI_HOME names another place."
        ) from None
    return sorted(found, key=lambda run: (_created(run), run.name), reverse=True)


def is_run(run: RunDirectory) -> bool:
    """Whether a run's own file is there: without its config.json too a run is one, and may be training."""
    return any(map(os.path.isfile, (run.config, run.process, run.events)))


def list_runs() -> list[RunSummary]:
    return [summarise(run) for run in directories()]


def summarise(run: RunDirectory) -> RunSummary:
    from codex_tui.runs.follower import glance

    state, facts = glance(run), read_facts(run)
    newer = facts.newer or newer_events(run.name, state)
    return RunSummary(
        name=run.name,
        path=run.path,
        status=state.status,
        profile_name=facts.profile_name,
        step=state.step,
        total_steps=state.total_steps,
        loss=state.last.loss if state.last else None,
        eval_loss=state.evals[-1].eval_loss if state.evals else None,
        adapter=run.adapter if run.has_adapter() else None,
        created=_created(run),
        reason=f"{newer} {_reason(state)}".strip(),
        resume_step=state.resume_step,
        broken=state.broken,
    )


def find_run(text: str) -> RunDirectory:
    """The run that `text` names. Raises BadInput where there is none, or several begin like it."""
    runs = directories()
    if not runs:
        raise BadInput("There are no runs yet.", "Start one with: codex-tui demo")
    if text == "last":
        return runs[0]
    if exact := [run for run in runs if run.name == text]:
        return exact[0]
    matching = [run for run in runs if text and run.name.startswith(text)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(run.name for run in matching[:8])
        raise BadInput(f"Several runs begin with {text!r}.", f"Say which: {names}")
    raise BadInput(f"No run is called {text!r}.", "List them with: codex-tui runs")


def live_run() -> RunDirectory | None:
    """The newest run that is training now; None where none is, or where they can't be looked at."""
    return _live(_readable())


def run_to_open() -> RunDirectory | None:
    """The live run; without one the run last heard of, where it was lost or failed: that is what a person comes for."""
    from codex_tui.runs.follower import glance

    runs = _readable()
    if live := _live(runs):
        return live
    last = max(runs, key=lambda run: last_written(run) or _created(run), default=None)
    return last if last and glance(last).status in ("lost", "failed") else None


def _live(runs: list[RunDirectory]) -> RunDirectory | None:
    return next((run for run in runs if run.trainer_alive()), None)


def _readable() -> list[RunDirectory]:
    """All run directories, newest first; none where they can't be looked at."""
    try:
        return directories()
    except BadInput:
        raise
    except CodexError:
        return []


def _created(run: RunDirectory) -> float:
    """When the run was made: its profile is written then and never again."""
    for path in (run.profile, run.path):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _reason(state: RunState) -> str:
    if state.status == "failed" and state.failure and state.failure.hint:
        return f"{state.reason} {state.failure.hint}"
    return state.reason if state.ended else ""
