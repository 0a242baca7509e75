"""Asks Slurm for the state of a job, and describes it in plain words."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from codex_tui.base.text import format_moment
from codex_tui.engines.slurm.programs import Refused, run_program
from training.contract.engine import EngineStatus

FORMAT = "%T|%r|%N|%S|%Q|%j|%Z"
"""State, reason, nodes, begin, priority, name and working directory: every version since 2.6 prints these."""
_WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "CONFIGURING"}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
_HOLDS = {"JobHeldUser", "job requeued in held state"}
_NEVER = "the partition does not allow it, so it never starts: stop it, and change launch.slurm"
_WAITS = {
    "None": "it was submitted just now",
    "Priority": "other jobs come first",
    "Resources": "no node with enough free resources",
    "BeginTime": "its begin time has not come",
    "Dependency": "another job must end first",
    "JobHeldAdmin": "an administrator holds it",
    "Licenses": "all licences are in use",
    "Reservation": "its reservation has not begun",
    "NodeDown": "a node that it needs is down",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition starts no jobs now",
    "PartitionTimeLimit": _NEVER,
    "PartitionNodeLimit": _NEVER,
    "PartitionConfig": _NEVER,
    "JobLaunchFailure": "Slurm could not start it",
}
_STATES = {
    "CONFIGURING": "its nodes are being prepared",
    "COMPLETING": "its processes are ending",
    "SUSPENDED": "an administrator has suspended it",
    "STOPPED": "an administrator has stopped it",
}
_ENDS = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "the job was cancelled",
    "COMPLETED": "the job had ended",
    "DEADLINE": "the job's deadline came",
    "FAILED": "the job failed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "the job had used up its memory (launch.slurm.memory)",
    "PREEMPTED": "another job took its place",
    "REVOKED": "the job was taken back",
    "TIMEOUT": "the job's time limit came (launch.slurm.time)",
}


class JobState(NamedTuple):
    """`reason` is part of a sentence, "" while the job just runs. `is_ending`: Slurm ends its processes. `is_held`: it
    waits until a person releases it."""

    status: EngineStatus
    reason: str = ""
    nodes: str = ""
    is_ending: bool = False
    is_held: bool = False


def read_job_state(job: str, folder: Path) -> JobState:
    """Ask Slurm for the state of the job with the id `job`, of the run in `folder`. Raises NoAnswer and Refused."""
    if not job.isdecimal():  # of a run that somebody else made: it could be an option
        return _make_forgotten_state(job)
    try:
        answer = run_program("squeue", "--noheader", "--states=all", f"--jobs={job}", f"--format={FORMAT}")
    except Refused as error:
        if "Invalid job id" in str(error):
            return _make_forgotten_state(job)
        raise
    line = answer.strip().partition("\n")[0]
    # The number may belong to another job: the run was copied, or Slurm has lost its state and counts from 1 again.
    name, place = (*line.split("|", 6)[5:], "", "")[:2]
    return parse_job_state(line) if name == folder.name and is_of_folder(place, folder) else _make_forgotten_state(job)


def is_of_folder(place: str, folder: Path) -> bool:
    """Whether a job with the working directory `place` is of the run in `folder`. If there is no `place`, the run was
    moved by hand."""
    try:
        return not place or folder.samefile(place)
    except FileNotFoundError:
        return True
    except OSError:  # such as a folder of another person
        return False


def _make_forgotten_state(job: str) -> JobState:
    return JobState("gone", f"Slurm does not know job {job} any more")


def parse_job_state(line: str) -> JobState:
    """Read a line that squeue printed in FORMAT. A state that this version does not know counts as running, because
    such a job may be training."""
    state, reason, nodes, begin, priority = (*line.split("|"), "", "", "", "", "")[:5]
    if state in _WAITING:
        if reason in _HOLDS:  # it stays the reason for a moment when the job was released
            if priority != "0":
                return JobState("waiting", "it was released just now")
            return JobState("waiting", "it is held until a person releases it", is_held=True)
        return JobState("waiting", _STATES.get(state) or _describe_wait(reason, begin))
    if state in _ENDS:
        return JobState("gone", _describe_end(state, reason), nodes)
    known = state in _RUNNING
    return JobState("running", _STATES.get(state, "" if known else state), nodes, is_ending=state == "COMPLETING")


def _describe_wait(reason: str, begin: str) -> str:
    words = _WAITS.get(reason)
    if words is None:
        limit = reason.startswith(("QOS", "Assoc", "MaxCpu", "MaxMem", "MaxGRES"))
        words = f"a limit of your account is reached ({reason})" if limit else reason or "it has not begun"
    with suppress(ValueError, OverflowError):
        starts = time.mktime(time.strptime(begin, "%Y-%m-%dT%H:%M:%S"))
        words += f"; it starts at about {format_moment(starts)}"
    return words


def _describe_end(state: str, reason: str) -> str:
    words = _ENDS[state]
    is_said = reason in ("", "None", "(null)") or state in ("COMPLETED", "TIMEOUT")
    return words if is_said else f"{words} ({reason})"
