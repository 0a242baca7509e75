"""The job of Slurm in which this keeper is the batch shell. It leaves before the job's time limit, and Slurm starts the
job again.

Slurm gives a job back to its queue in three ways: this keeper asks for it, a person or another job takes the nodes, or
a node is lost. Each time the same command runs again, in the same job, and goes on from the last whole checkpoint.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from types import FrameType
from typing import NamedTuple

from training.contract import events as ev
from training.contract.control import StopLevel
from training.contract.end_event import read_end_event
from training.contract.run_directory import RunDirectory
from training.contract.slurm import JOB_VARIABLE
from training.keeper.decisions import Finish, find_saved_step
from training.keeper.watchers import Answer, Hold, Moment

TIME_LIMIT = "Slurm warned of the job's time limit."
TAKEN = "Slurm took its nodes away."
ENDS = "Slurm starts it again."
TOO_SHORT = ev.Failed(
    kind="terminated",
    message="The job's time limit came before the run had taken a step, so another job of this length brings nothing.",
    hint="Give it more time (launch.slurm.time), or let Slurm warn later (launch.slurm.signal_seconds).",
)
ASK_SECONDS = 20.0  # how long to wait for an answer of Slurm
TRY_AGAIN_SECONDS = 5.0  # after Slurm's controller did not answer


class BatchJob:
    """The keeper's job. It is a watcher too: it holds the run when Slurm has said by SIGUSR1 that the time limit comes.

    `restarts` counts how often Slurm has started the job again.
    """

    seconds = 0.0

    def __init__(self, job: str, restarts: int, first_step: int) -> None:
        self._job, self.restarts, self._first_step = job, restarts, first_step
        self._limit_comes = self._has_trained = self._has_asked = False
        self._can_return, self._next_try = True, 0.0
        signal.signal(signal.SIGUSR1, self._on_sigusr1)

    @classmethod
    def find(cls, run: RunDirectory) -> BatchJob | None:
        """Return the job that Codex TUI has submitted for `run`, if this process is its batch shell. A job in which a
        person started the run, as in salloc, is none: it would start something else again."""
        job = os.environ.pop(JOB_VARIABLE, "")
        if not job or job != os.environ.get("SLURM_JOB_ID"):
            return None
        return cls(job, int(os.environ.get("SLURM_RESTART_COUNT") or 0), find_saved_step(run))

    def look(self, moment: Moment) -> Answer:
        self._has_trained |= moment.trainer is not None
        return Hold("waiting", TIME_LIMIT, ENDS) if self._limit_comes else None

    def has_nothing_to_do(self, run: RunDirectory) -> bool:
        """Whether the run had ended before Slurm started its job again, as when a node was lost at the last moment. An
        end that was there when the job was submitted is that of an attempt which this job continues."""
        record = run.read_engine()
        end = read_end_event(run.events, record.offset if record else 0)
        return self.restarts > 0 and isinstance(end, ev.Done | ev.Stopped | ev.Failed)

    def ask_to_stop(self, run: RunDirectory, sigterms: int) -> None:
        """Ask the trainer to stop after this many SIGTERM. Slurm sends one to the trainer too, and a second one would
        end the trainer before it has saved: so the request is the file."""
        wanted: StopLevel = "save" if sigterms == 1 else "terminate"
        if run.read_stop_request() not in (wanted, "terminate"):
            run.request_stop(wanted)
            self._has_asked = True

    def find_loss(self, run: RunDirectory) -> Finish | None:
        """Look whether Slurm takes the nodes away and starts the job again, after it has sent SIGTERM. Returns None if
        Slurm ends the job for good, or a person has asked for the run's end."""
        if not self._has_asked and run.read_stop_request() in ("save", "terminate"):
            return None
        restarts = re.search(r"\bRestarts=(\d+)", _ask_slurm("show", "job", self._job).text)
        if restarts is None or int(restarts[1]) <= self.restarts:
            return None
        run.clear_stop()  # `ask_to_stop` has written it, and the next keeper must not stop for it
        return Finish(ev.Held(state="waiting", reason=TAKEN, ends=ENDS, step=find_saved_step(run)))

    def leave(self, run: RunDirectory, *, is_by_hand: bool) -> Finish | None:
        """Give the nodes back while the run is held, because the time limit comes, or since a person has parked it
        (`is_by_hand`). Slurm starts the job again by itself, or when it is released.

        Returns None if the run stays in the job: there is no reason to leave, or Slurm refuses to start it again.
        """
        if not (self._limit_comes or (is_by_hand and self._can_return)) or time.monotonic() < self._next_try:
            return None
        step = find_saved_step(run)
        if self._limit_comes and self._has_trained and step <= self._first_step:
            return Finish(TOO_SHORT)
        answer = _ask_slurm("requeuehold" if is_by_hand else "requeue", self._job)
        if answer.is_yes:
            request = run.read_request() if is_by_hand else None
            if request and request.word == "resume":  # it came meanwhile, and nobody else obeys it
                _ask_slurm("release", self._job)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm sends it to what the job has left
            return Finish()
        print(f"scontrol: {answer.text}", file=sys.stderr, flush=True)  # noqa: T201
        self._next_try = time.monotonic() + TRY_AGAIN_SECONDS
        self._can_return = answer.is_missing
        if self._limit_comes and not self._can_return:
            return Finish(ev.Stopped(step=step, resumable=step > 0))
        return None

    def _on_sigusr1(self, _number: int, _frame: FrameType | None) -> None:
        self._limit_comes = True


class _Answer(NamedTuple):
    """What scontrol printed. `is_missing`: the controller did not answer, so that it may be asked again."""

    text: str
    is_yes: bool = False
    is_missing: bool = False


def _ask_slurm(*command: str) -> _Answer:
    import subprocess  # here, because few keepers need it

    try:
        done = subprocess.run(
            ["scontrol", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ASK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Answer(str(error), is_missing=True)
    text = (done.stderr or done.stdout).strip()
    return _Answer(text, is_yes=done.returncode == 0, is_missing="Unable to contact" in text)
