"""Starts the processes of a run on the other nodes of its Slurm job, and watches that all of them live.

Each one has an srun of its own, so that its end names the node. Its stdin has the order for the node, and then an empty
line every few seconds, as a sign that this node lives. The process answers each with an empty line. Its other output
goes to the run's log; a line with a failure in JSON says why the node ended.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.contract.process import die_with_parent, format_signal
from training.contract.run_directory import RunDirectory
from training.finetune.nodes import SILENT_SECONDS, Node, Rendezvous

SIGN_SECONDS = 3.0
END_SECONDS = 20.0  # in which a node must have ended after its stdin has
LOG_LINES = 30
SRUN = ("srun", "--nodes=1", "--ntasks=1", "--export=ALL", "--mpi=none", "--kill-on-bad-exit=1", "--unbuffered")


class OtherNodes:
    """The processes of a run on the nodes after the first one. `is_ending`: their ends say nothing any more.

    `on_loss` is called in a thread when a node has failed, with the failure, or None if the node is silent."""

    def __init__(self, on_loss: Callable[[ev.Failed | None], None]) -> None:
        self._on_loss = on_loss
        self._sruns: list[subprocess.Popen[bytes]] = []
        self._heard: dict[str, float] = {}  # when each node gave its last sign, by the monotonic clock
        self.is_ending = False

    @property
    def pids(self) -> set[int]:
        return {each.pid for each in self._sruns}

    def start(self, run: RunDirectory, nodes: list[Node], rendezvous: Rendezvous, processes: int) -> None:
        """Start the process of each node after the first one. Call this in the main thread: the kernel ends the sruns
        with the thread that started them."""
        for number, node in enumerate(nodes[1:], 1):
            order = msgspec.structs.replace(rendezvous, number=number, name=node.name)
            command = [*SRUN, f"--nodelist={node.name}", *_ask_for_cores()]
            command += [sys.executable, "-m", "training", "node", str(run.path)]
            try:
                srun = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    bufsize=0,
                    preexec_fn=lambda: die_with_parent(True, signal.SIGTERM),  # at which srun kills its process there
                )
            except OSError as error:
                message = f"srun can't be started: {error.strerror}."
                raise TrainingFailure("unknown", message, "Start the run in a Slurm job.") from error
            self._sruns.append(srun)
            assert srun.stdin is not None
            with suppress(OSError):  # its end is seen below
                srun.stdin.write(msgspec.json.encode(order) + b"\n")
            os.set_blocking(srun.stdin.fileno(), False)  # a node that reads nothing must not stop the signs for others
            ranks = _list_ranks(number, processes)
            threading.Thread(target=self._watch, args=(srun, node.name, ranks), name=node.name, daemon=True).start()
        threading.Thread(target=self._give_signs, name="signs", daemon=True).start()

    def find_silent(self, seconds: float) -> str:
        """Return the name of a node that has given no sign for so long; "" if there is none."""
        now = time.monotonic()
        return next((name for name, heard in [*self._heard.items()] if now - heard > seconds), "")

    def end(self) -> None:
        """End the processes that are left."""
        self.is_ending = True
        for srun in self._sruns:
            assert srun.stdin is not None
            with suppress(OSError):
                srun.stdin.close()
        for srun in self._sruns:
            for stop in (srun.terminate, srun.kill):
                try:
                    srun.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    stop()

    def _give_signs(self) -> None:
        while not self.is_ending:
            for srun in self._sruns:
                assert srun.stdin is not None
                with suppress(OSError, ValueError):  # it has ended, and `_watch` tells
                    srun.stdin.write(b"\n")
            if self.find_silent(SILENT_SECONDS):
                self._on_loss(None)
            time.sleep(SIGN_SECONDS)

    def _watch(self, srun: subprocess.Popen[bytes], node: str, ranks: str) -> None:
        failed: ev.Failed | None = None
        lines: deque[str] = deque(maxlen=LOG_LINES)
        assert isinstance(srun.stdout, io.RawIOBase)
        for line in io.BufferedReader(srun.stdout):
            self._heard[node] = time.monotonic()
            if line == b"\n":
                continue
            if line.startswith(b"{"):
                with suppress(msgspec.MsgspecError):
                    failed = msgspec.json.decode(line, type=ev.Failed)
                    continue
            lines.append(line.decode(errors="replace").rstrip())
            if not self.is_ending:
                print(lines[-1], file=sys.stderr, flush=True)  # noqa: T201
        if (code := srun.wait()) and not self.is_ending:
            self._on_loss(failed or _explain(f"node {node} with {ranks}", code, lines))


def _ask_for_cores() -> list[str]:
    """Make the option for all cores that the job has on a node: since Slurm 22.05 srun takes one by default."""
    cores = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return [f"--cpus-per-task={cores}"] if cores.isdecimal() else []


def _list_ranks(number: int, processes: int) -> str:
    """Return the ranks of node `number`: "rank 1" or "ranks 4 to 7"."""
    first, last = number * processes, (number + 1) * processes - 1
    return f"rank {first}" if first == last else f"ranks {first} to {last}"


def _explain(name: str, code: int, lines: deque[str]) -> ev.Failed:
    """Return the failure of a node that could not say how it ended. `code` is that of srun."""
    number = -code if code < 0 else code - 128
    ended = f"was killed ({format_signal(number)})" if number > 0 else f"has ended with code {code}"
    return ev.Failed(
        kind="unknown",
        message=f"The trainer's process on {name} {ended}.",
        hint="The log tells more. Resume the run to go on from its last checkpoint.",
        traceback="\n".join(lines),
    )
