"""Runs the ranks of one machine by torchrun, inside of this process, and explains how they ended.

torchrun never starts a rank again: continuing a run is the business of the keeper.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from training.contract import events as ev
from training.contract.cache import cache_home
from training.contract.log import read_last_lines
from training.contract.process import die_with_parent, format_signal
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.finetune.nodes import Rendezvous
from training.finetune.ranks import LOST_ANOTHER
from training.job.environ import choose_cards

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    Failures = dict[int, ProcessFailure]  # by the numbers of the ranks

SHUTDOWN_SECONDS = 600  # in which the ranks may save a checkpoint after a SIGTERM; torch before 2.13 gives them 30
LOG_LINES = 30
PARENT = "CODEX_TUI_TORCHRUN"
"""The variable with the pid of this process, in the environment of the ranks."""

ENVIRON = {
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # the shared one keeps what an earlier start has left in it
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def end_with_torchrun() -> None:
    """Let this rank end when torchrun's process ends, which may have happened already."""
    die_with_parent(True)
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(LOST_ANOTHER)


def run_ranks(run: RunDirectory, processes: int, rendezvous: Rendezvous) -> Failures:
    """Start the ranks of this machine and wait until all have ended. Returns those that failed. Raises
    TrainingFailure if the nodes don't find each other."""
    from torch import distributed
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser
    from torch.distributed.run import run as run_torchrun

    parser = get_args_parser()
    os.environ[PARENT] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    for name, value in (ENVIRON | rendezvous.make_environ()).items():
        os.environ.setdefault(name, value)
    with _own_folder(run, rendezvous.number) as logs:
        options = [
            *rendezvous.make_options(),
            f"--nproc-per-node={processes}",
            "--max-restarts=0",
            f"--shutdown-timeout={SHUTDOWN_SECONDS}",
            f"--log-dir={logs}",
        ]
        known = [option for option in options if option.partition("=")[0] in parser._option_string_actions]
        try:
            run_torchrun(parser.parse_args([*known, "-m", "training", "rank", str(run.path)]))
        except ChildFailedError as error:
            return error.failures
        except SignalException:  # the ranks were asked to end, and did
            pass
        except (distributed.DistNetworkError, distributed.DistStoreError) as error:
            raise rendezvous.explain(str(error)) from error
        finally:
            signal.signal(signal.SIGTERM, lambda *_: None)  # the end is recorded at once
    return {}


@contextmanager
def _own_folder(run: RunDirectory, node: int) -> Iterator[Path]:
    """Make a folder for torchrun's files. One that an earlier attempt left, because it was killed, is deleted first."""
    key = hashlib.sha256(os.fsencode(run.path)).hexdigest()[:16]
    folder = cache_home() / "ranks" / f"{key}-{node}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def explain(
    run: RunDirectory, profile: Profile, failures: Failures, rendezvous: Rendezvous, *, ran_out: bool
) -> ev.Failed | None:
    """Return the failure of the rank that failed first; None if none failed. `ran_out`: the kernel has killed a process
    for lack of memory meanwhile."""
    if not failures:
        return None
    causes = {number: each for number, each in failures.items() if each.exitcode != LOST_ANOTHER} or failures
    number = min(causes, key=lambda number: (causes[number].timestamp, number))
    failure, name = causes[number], _name_rank(profile, number, rendezvous.name)
    if failed := _read_failure(failure.message):
        if number:
            failed.message = f"{name}: {failed.message}"
        return failed
    ended = f"was killed ({format_signal(-failure.exitcode)})" if failure.exitcode < 0 else "has ended"
    log = run.rank_log(number)
    if failure.exitcode == -signal.SIGKILL and ran_out:
        ended = "was killed because the memory of the machine ran out"
    return ev.Failed(
        kind="host_memory" if ran_out else "unknown",
        message=f"{name} {ended}.",
        hint=f"The last lines of {log.name} tell more. Resume the run to go on from its last checkpoint.",
        traceback="\n".join(read_last_lines(log, LOG_LINES)),
    )


def _read_failure(message: Any) -> ev.Failed | None:
    """Read what the rank has left; see `Ranks.record_failure`. Returns None if it was killed, for example."""
    try:
        return msgspec.json.decode(message["message"], type=ev.Failed)
    except (TypeError, KeyError, msgspec.MsgspecError):
        return None


def _name_rank(profile: Profile, number: int, node: str) -> str:
    """Return the rank with its card: "Rank 1 (GPU 1)" or, with several nodes, "Rank 5 (node n2, GPU 1)"."""
    card = choose_cards(profile)[number % profile.processes]
    places = [f"node {node}"] if node else []
    return f"Rank {number} ({', '.join([*places, f'GPU {card}' if card else 'CPU'])})"
