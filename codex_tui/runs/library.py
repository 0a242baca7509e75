"""Lists runs, newest first, and finds one by its name, by the start of its name, or as "last"."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.runs.facts import read_facts
from codex_tui.runs.outcome import describe_newer_events, describe_resume, find_last_write
from codex_tui.runs.watched import ENDED, ShownStatus, WatchedRun
from training.contract.run_directory import RunDirectory


@dataclass(frozen=True)
class RunSummary:
    """One row of the list. `created` is in Unix seconds. `reason` is a sentence that says why the run ended.

    `resume_step` is the step that a resume would continue from, 0 for the start. It is None if the run is training or
    done, or if no resume is possible; `broken` then gives the reason.
    """

    name: str
    path: Path
    status: ShownStatus
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
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def remedy(self) -> str:
        """One sentence: from which step a resume would continue, or why no resume is possible."""
        return self.broken or ("" if self.resume_step is None else describe_resume(self.resume_step))

    @property
    def remark(self) -> str:
        """The reason why the run ended, and the remedy."""
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


def list_run_directories() -> list[RunDirectory]:
    """List all run directories, newest first. Raises CodexError if they can't be read."""
    home = locations.runs_home()
    try:
        runs = [run for path in home.iterdir() if is_run(run := RunDirectory(path))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CodexError(
            f"The runs in {home} can't be read: {error.strerror}.", "Set CODEX_TUI_HOME to use another folder."
        ) from None
    return sorted(runs, key=lambda run: (_read_created(run), run.name), reverse=True)


def is_run(run: RunDirectory) -> bool:
    """Whether the folder has a file of a run. A folder without config.json counts too, because it may be training."""
    return any(map(os.path.isfile, (run.config, run.process, run.events)))


def list_runs() -> list[RunSummary]:
    return [summarise(run) for run in list_run_directories()]


def summarise(run: RunDirectory) -> RunSummary:
    from codex_tui.runs.follower import snapshot

    watched, facts = snapshot(run), read_facts(run)
    state = watched.state
    newer = facts.newer or describe_newer_events(run.name, state)
    return RunSummary(
        name=run.name,
        path=run.path,
        status=watched.status,
        profile_name=facts.profile_name,
        step=state.step,
        total_steps=state.total_steps,
        loss=state.last.loss if state.last else None,
        eval_loss=state.evals[-1].eval_loss if state.evals else None,
        adapter=run.adapter if run.has_adapter() else None,
        created=_read_created(run),
        reason=f"{newer} {_explain_end(watched)}".strip(),
        resume_step=watched.leftovers.resume_step,
        broken=watched.leftovers.broken,
    )


def find_run(text: str) -> RunDirectory:
    """Find the run named `text`, or the only one whose name begins so. Raises BadInput if none or several match."""
    runs = list_run_directories()
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
        raise BadInput(f"Several runs begin with {text!r}.", f"Choose one: {names}")
    raise BadInput(f"No run is called {text!r}.", "List them with: codex-tui runs")


def find_live_run() -> RunDirectory | None:
    """Find the newest run that is training now. Returns None if there is none, or if the runs can't be read."""
    return _first_alive(_list_readable())


def find_run_to_open() -> RunDirectory | None:
    """Find the run that the app shows at its start: the one that trains, else the last one if it was lost or failed."""
    from codex_tui.runs.follower import snapshot  # slow to import, and not needed for a start without runs

    runs = _list_readable()
    if live := _first_alive(runs):
        return live
    last = max(runs, key=lambda run: find_last_write(run) or _read_created(run), default=None)
    return last if last and snapshot(last).status in ("lost", "failed") else None


def _first_alive(runs: list[RunDirectory]) -> RunDirectory | None:
    return next((run for run in runs if run.is_trainer_alive()), None)


def _list_readable() -> list[RunDirectory]:
    """List all run directories, newest first. Returns [] if they can't be read."""
    try:
        return list_run_directories()
    except BadInput:
        raise
    except CodexError:
        return []


def _read_created(run: RunDirectory) -> float:
    """When the run was created, in Unix seconds. The profile is written only at that time, so its file time is used."""
    for path in (run.profile, run.path):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _explain_end(watched: WatchedRun) -> str:
    failure = watched.state.failure
    if watched.status == "failed" and failure and failure.hint:
        return f"{watched.reason} {failure.hint}"
    return watched.reason
