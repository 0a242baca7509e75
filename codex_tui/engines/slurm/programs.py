"""Runs the programs of Slurm that are on PATH: sbatch, squeue, scontrol and scancel."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

SECONDS = 10.0  # to wait for an answer; Slurm's programs try for 18 seconds to reach a controller that is down
_PREFIX = re.compile(r"^\w+: (error: )?|^slurm_load_jobs error: ")
_NOT_ASKED = ("Unable to contact", "Connection refused")
_NO_CONFIGURATION = "configuration source"  # after several lines about DNS
_NO_ANSWER = ("timed out", "communication", "Zero Bytes")  # the request may have arrived


class NoAnswer(Exception):
    """Slurm did not answer. The text says why in a few words. `may_have_arrived`: Slurm may do what it was asked."""

    def __init__(self, reason: str, *, may_have_arrived: bool = False) -> None:
        self.may_have_arrived = may_have_arrived
        super().__init__(reason)


class Refused(Exception):
    """Slurm answered that it does not do that. The text is its own, on one line."""


def run_program(
    *command: str, seconds: float | None = None, text: str | None = None, environ: Mapping[str, str] | None = None
) -> str:
    """Run a program of Slurm, and return what it prints. `text` is its input. Raises NoAnswer and Refused."""
    seconds = seconds or SECONDS
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            env=environ,
        )
    except FileNotFoundError:
        raise NoAnswer(f"there is no program {command[0]} on this machine") from None
    except OSError as error:
        raise NoAnswer(f"{command[0]} can't be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        reason = f"its controller did not answer within {seconds:g} seconds"
        raise NoAnswer(reason, may_have_arrived=True) from None
    if done.returncode == 0:
        return done.stdout
    problem = _tidy(done.stderr) or _tidy(done.stdout) or f"{command[0]} ended with exit code {done.returncode}"
    if _NO_CONFIGURATION in problem:
        raise NoAnswer("this machine knows no cluster, because it has no slurm.conf")
    if any(word in problem for word in _NOT_ASKED):
        raise NoAnswer(problem)
    if any(word in problem for word in _NO_ANSWER):
        raise NoAnswer(problem, may_have_arrived=True)
    raise Refused(problem)


def _tidy(text: str) -> str:
    """Put the lines of an error on one line, each once and without the program's name."""
    lines = (_PREFIX.sub("", line.strip()) for line in text.splitlines())
    return "; ".join(dict.fromkeys(line for line in lines if line))
