"""Trains a run with several ranks: starts them by torchrun, waits, and records how they ended.

This process is the run's trainer to everyone outside. It trains nothing itself. The ranks end with it, even if it is
killed. torchrun never starts a rank again: continuing a run is the business of the keeper.
"""

from __future__ import annotations

import os
import signal
import tempfile
from typing import TYPE_CHECKING, Any

import msgspec

from training.contract import events as ev
from training.contract.config import ConfigError, RunConfig
from training.contract.end_event import read_end_event
from training.contract.event_writer import EventWriter
from training.contract.log import read_last_lines
from training.contract.process import ProcessIdentity, count_oom_kills, die_with_parent, format_signal
from training.contract.run_directory import RunDirectory
from training.finetune.attempt import choose_number
from training.finetune.ranks import LOST_ANOTHER
from training.job.environ import choose_cards

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

SHUTDOWN_SECONDS = 600  # in which the ranks may save a checkpoint after a SIGTERM; torch before 2.13 gives them 30
LOG_LINES = 30
PARENT = "CODEX_TUI_TORCHRUN"
"""The variable with the pid of this process, in the environment of the ranks."""

ENVIRON = {
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # the shared one keeps what an earlier start has left in it
    "GLOO_SOCKET_IFNAME": "lo",  # all ranks are on this machine, whose name may lead nowhere
    "NCCL_SOCKET_IFNAME": "lo",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def end_with_torchrun() -> None:
    """Let this rank end when torchrun's process ends, which may have happened already."""
    die_with_parent(True)
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(LOST_ANOTHER)


def count_processes(run: RunDirectory) -> int:
    """Return how many processes the profile of `run` asks for; 1 if it can't be read, which the trainer reports."""
    try:
        return RunConfig.read_with_profile(run.config)[1].processes
    except ConfigError:
        return 1


def train(run: RunDirectory, processes: int) -> int:
    """Train `run` with that many ranks. The caller holds the run's lock. Returns 0 if it was finished or stopped."""
    folder = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)  # by which it is found again if someone renames it
    run.write_process(ProcessIdentity.current(choose_number(run, os.getpid())))
    die_with_parent(False)
    start = run.events.stat().st_size if run.events.exists() else 0
    for number in (signal.SIGINT, signal.SIGHUP):  # a closed terminal is no stop request
        signal.signal(number, signal.SIG_IGN)
    os.environ[PARENT] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    for name, value in ENVIRON.items():
        os.environ.setdefault(name, value)
    oom_kills_before = count_oom_kills()
    failures = _run_ranks(run, processes)
    run = RunDirectory.locate(folder) or run
    end = read_end_event(run.events, start)
    if not end:
        EventWriter(run.events).emit(_explain(run, failures, ran_out=count_oom_kills() > oom_kills_before))
    return 1 if end is None or isinstance(end, ev.Failed) else 0


def _run_ranks(run: RunDirectory, processes: int) -> dict[int, ProcessFailure]:
    """Start the ranks and wait until all have ended. Returns those that failed, by their numbers."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser
    from torch.distributed.run import run as run_torchrun

    parser = get_args_parser()

    with tempfile.TemporaryDirectory(prefix="codex-tui-ranks-") as logs:
        options = [
            "--standalone",
            "--local-addr=127.0.0.1",
            f"--nproc-per-node={processes}",
            "--max-restarts=0",
            f"--shutdown-timeout={SHUTDOWN_SECONDS}",
            "--signals-to-handle=SIGTERM",
            f"--log-dir={logs}",
        ]
        known = [option for option in options if option.partition("=")[0] in parser._option_string_actions]
        try:
            run_torchrun(parser.parse_args([*known, "-m", "training", "rank", str(run.path)]))
        except ChildFailedError as error:
            return error.failures
        except SignalException:  # the ranks were asked to end, and did
            pass
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end is recorded at once
    return {}


def _explain(run: RunDirectory, failures: dict[int, ProcessFailure], *, ran_out: bool) -> ev.Failed:
    """Return the failure of the rank that failed first. `ran_out`: the kernel has killed a process for lack of memory
    meanwhile."""
    if not failures:
        return ev.Failed(kind="unknown", message="torchrun has ended without its ranks.", hint="See the log.")
    causes = {number: each for number, each in failures.items() if each.exitcode != LOST_ANOTHER} or failures
    number = min(causes, key=lambda number: (causes[number].timestamp, number))
    failure, name = causes[number], _name_rank(run, number)
    if failed := _read_failure(failure.message):
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


def _name_rank(run: RunDirectory, number: int) -> str:
    """Return the rank with its card: "Rank 1 (GPU 1)"."""
    try:
        card = choose_cards(RunConfig.read_with_profile(run.config)[1])[number]
    except (ConfigError, IndexError):
        card = ""
    return f"Rank {number} ({f'GPU {card}' if card else 'CPU'})"
