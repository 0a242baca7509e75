"""`python -m training RUN`: takes the run over, trains, and records how it ended, whatever happens."""

from __future__ import annotations

import fcntl
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from training.contract import events as ev
from training.contract import failures, files
from training.contract.run_directory import RunDirectory
from training.finetune.attempt import Attempt, complain
from training.finetune.gpu import open_card
from training.job import environ
from training.job.job import change_of, read_all_rows, read_job, require_good, require_unchanged
from training.job.model import local_folder


def train(path: Path) -> int:
    """Runs what `path`/config.json says. 0: done or stopped; 1: failed, or another process trains it already."""
    run = RunDirectory(path)
    if not run.config.is_file():
        complain(f"{path} is not a run directory: there is no config.json")
        return 1
    os.umask(0o077)
    try:
        if not _take(run):
            complain(f"{path}: another process is training this run")
            return 1
        attempt = Attempt(run)
    except OSError as error:  # a pipe in the place of a file, say
        complain(f"{error.filename or path}: {error.strerror}")
        return 1
    attempt.begin()
    try:
        job = read_job(path)
        environ.prepare(job.profile, job.cache)
        card = open_card()  # before CUDA starts, so that what others hold on it is known
        rows = read_all_rows(job)  # this and the folder before the slow imports: what is wrong is told at once
        if attempt.resume_from:
            require_unchanged(job, rows, run)
        elif changed := change_of(job, rows):
            attempt.warn(f"{changed} It is trained from the start on what is there now.")
        require_good(job, rows)
        local_folder(job.profile.model.name)
        attempt.report_loading("Unsloth", 0)
        from training.finetune import sft

        attempt.end(sft.train(attempt, job, rows, card))
        code = 0
    except (Exception, SystemExit) as error:  # noqa: BLE001  every failure has a name, an event and a traceback
        text = failures.hidden(traceback.format_exc())
        complain(text)
        failure = failures.classify(error)
        failed = ev.Failed(
            kind=failure.kind, message=failure.message, hint=failure.hint, traceback=text, step=attempt.step
        )
        with suppress(OSError):  # the log has said it
            attempt.end(failed)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Not a normal exit: threads of the libraries may hold it up, and everything worth keeping is on disk.
    os._exit(code)


def _take(run: RunDirectory) -> bool:
    """Takes the run's lock, until the process ends; False where another process has it. Raises OSError."""
    lock = files.open_to_append(run.lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
