"""`python -m training attempt RUN`: takes the run's lock, trains, and always records how the run ended."""

from __future__ import annotations

import fcntl
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from training.contract import events as ev
from training.contract import failures, files
from training.contract.card_queue import Lease
from training.contract.run_directory import RunDirectory
from training.contract.secrets import redact_secrets
from training.finetune import first_node, sharding
from training.finetune.attempt import Attempt, FollowingAttempt, print_error
from training.finetune.gpu import open_card
from training.finetune.no_time import end_without_step
from training.finetune.ranks import LOST_ANOTHER, Ranks
from training.finetune.time_limit import TimeLimit
from training.finetune.torchrun import end_with_torchrun
from training.job import environ
from training.job.job import check_dataset_unchanged, check_rows, describe_dataset_change, read_all_rows, read_job
from training.job.model import local_folder
from training.job.token_helper import TokenHelper


def train(path: Path) -> int:
    """Train the run at `path` as its config.json asks. Returns 0 if it was finished or stopped, and 1 if it failed or
    another process trains it."""
    run = RunDirectory(path)
    if not run.config.is_file():
        print_error(f"{path} is not a run directory: it has no config.json.")
        return 1
    os.umask(0o077)
    Lease.inherit()  # none of the programs that the trainer starts may hold the card when the trainer has ended
    try:
        if not _lock(run):
            print_error(f"{path}: another process is training this run.")
            return 1
        if (profile := first_node.read_profile(run)) and profile.ranks > 1:
            return first_node.train(run, profile)
        return _train(Attempt(run))
    except OSError as error:  # one of the run's files may be a pipe, for example
        print_error(f"{error.filename or path}: {error.strerror}")
        return 1


def train_rank(path: Path) -> int:
    """Train the run at `path` as one of several ranks, which torchrun's process has started."""
    end_with_torchrun()
    os.umask(0o077)
    run, ranks = RunDirectory(path), Ranks.from_environ()
    try:
        if ranks.is_main:
            return _train(Attempt(run, ranks))
        log = files.open_to_append(run.rank_log(ranks.number))
        for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
            os.dup2(log, descriptor)
        return _train(FollowingAttempt(run, ranks))
    except OSError as error:
        print_error(f"{error.filename or path}: {error.strerror}")
        return 1


def _train(attempt: Attempt) -> int:
    run, ranks = attempt.run, attempt.ranks
    attempt.begin()
    try:
        job = read_job(run.path)
        limit = TimeLimit.read(job, run)
        cards = environ.choose_cards(job.profile)
        environ.prepare(job.profile, job.cache, ranks.local)
        sharding.prepare(job.profile)
        # Before CUDA starts, to know how much memory other programs hold. Rank 0 reads the cards of its whole node.
        card = open_card(cards if ranks.is_main else [cards[ranks.local]])
        # Check the rows and the model's folder before the slow imports, to report errors in them at once.
        rows = read_all_rows(job)
        if attempt.resume_from:
            check_dataset_unchanged(job, rows, run)
        elif ranks.is_main and (changed := describe_dataset_change(job, rows)):
            attempt.warn(f"{changed} The run starts over with the new data.")
        check_rows(job, rows, run)
        local_folder(job.profile.model.name)
        done = end_without_step(attempt, job, limit) if ranks.is_main else None
        if done is None:
            # One a node. A resume finds the tokens in the cache.
            helper = TokenHelper.start(run, job, rows.rows) if not (ranks.local or attempt.resume_from) else None
            attempt.report_loading("Unsloth", 0)
            from training.finetune import sft

            done = sft.train(attempt, job, rows, card, limit, helper)
        elif ranks.count > 1:  # the others do not know it
            attempt.end(done)
            os._exit(LOST_ANOTHER)
        attempt.end(done)
        with suppress(Exception):  # the run's end is recorded
            ranks.leave()
        code = 0
    except (Exception, SystemExit) as error:  # noqa: BLE001  every failure gets a name, an event and a traceback
        text = redact_secrets(traceback.format_exc())
        print_error(text)
        if ranks.has_lost():  # the error is a broken connection to a rank that has ended, whose failure counts
            os._exit(LOST_ANOTHER)
        failure = failures.classify(error)
        failed = ev.Failed(
            kind=failure.kind,
            message=failure.message,
            hint=failure.hint,
            traceback=text,
            step=attempt.step,
            memory=failure.memory,
        )
        with suppress(OSError):  # the log has the failure already
            attempt.end(failed)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Not a normal exit: threads of the libraries may delay that, and everything worth keeping is on the disk.
    os._exit(code)


def _lock(run: RunDirectory) -> bool:
    """Lock the run until this process ends. Returns False if another process has the lock. Raises OSError."""
    lock = files.open_to_append(run.lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
