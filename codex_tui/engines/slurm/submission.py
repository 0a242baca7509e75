"""Submits a run as a job: the options of sbatch, and the script."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from codex_tui.base.errors import BadInput
from codex_tui.base.text import clean
from codex_tui.engines.handover import MayHaveBegun
from codex_tui.engines.keeper import make_keeper_command, make_keeper_environ
from codex_tui.engines.slurm.programs import Refused, run_program
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.slurm import JOB_VARIABLE

SUBMIT_SECONDS = 60.0
_OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_CLUSTERS")


def submit(run: RunDirectory, profile: Profile, python: Path, setup: Sequence[str]) -> str:
    """Submit a job that keeps `run` with the interpreter `python`. Returns its id.

    Raises BadInput if Slurm refuses the job, NoAnswer if it does not answer, and MayHaveBegun if its answer can't be
    understood.
    """
    try:
        answer = run_program(
            *("sbatch", "--parsable", *make_options(run, profile)),
            seconds=SUBMIT_SECONDS,
            text=make_script(run, python, setup),
            environ=_make_environ(),
        )
    except Refused as error:
        raise BadInput(
            f"Slurm refuses the job: {clean(str(error)).rstrip('.')}.",
            "Change the profile's table launch.slurm, as in: --set launch.slurm.partition=NAME. "
            "See what the cluster has with: sinfo",
        ) from None
    # A plugin of the cluster may print lines of its own before.
    ids = re.findall(r"^(\d+)(?:;.*)?$", answer, re.MULTILINE)
    if not ids:
        problem = f"sbatch printed no job id, but: {clean(answer.strip())[:200]!r}."
        raise MayHaveBegun(problem, "Look for the job with: squeue")
    return str(ids[-1])


def make_options(run: RunDirectory, profile: Profile) -> list[str]:
    """Make the options of sbatch. They are on the command line, because variables such as SBATCH_PARTITION would win
    over lines in the script, and because nothing in them needs quotes there."""
    slurm = profile.launch.slurm
    wanted = {
        "job-name": run.name,
        "chdir": str(run.path),
        "output": run.log.name,  # below --chdir; a whole path may have a % in it, which sbatch replaces
        "open-mode": "append",
        "export": "ALL",
        "nodes": profile.launch.nodes,
        "ntasks-per-node": 1,
        "time": slurm.time,
        "signal": f"B:USR1@{slurm.signal_seconds}",
        "partition": slurm.partition,
        "gres": slurm.gres or (None if profile.hardware.device == "cpu" else f"gpu:{profile.processes}"),
        "cpus-per-task": slurm.cpus,
        "mem": slurm.memory,
        "account": slurm.account,
        "qos": slurm.qos,
    }
    options = [f"--{name}={value}" for name, value in wanted.items() if value is not None]
    return [*options, "--requeue" if slurm.requeue else "--no-requeue"]


def make_script(run: RunDirectory, python: Path, setup: Sequence[str]) -> str:
    """Make the batch script. The keeper takes the place of its shell, so that it gets the job's signals."""
    # Commands such as `module` exist in a login shell only. One that fails ends the job, with its error in the log.
    head = ["#!/bin/bash -l", "set -e", *setup] if setup else ["#!/bin/sh"]
    keep = shlex.join(make_keeper_command(run, python))
    return "\n".join([*head, f'export {JOB_VARIABLE}="$SLURM_JOB_ID"', f"exec {keep}", ""])


def _make_environ() -> dict[str, str]:
    """The environment of the job. It is inherited, so that no secret is on a command line. A person may submit the run
    from inside another job, whose variables are removed, such as its number of restarts."""
    return {name: value for name, value in make_keeper_environ().items() if not _belongs_to_job(name)}


def _belongs_to_job(variable: str) -> bool:
    return variable == JOB_VARIABLE or (variable.startswith("SLURM_") and variable not in _OF_THE_CLUSTER)
