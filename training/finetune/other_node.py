"""`python -m training node RUN`: runs the ranks of a node after the first one. See `other_nodes`, which starts it.

It lives as long as its stdin is open, and its ranks end with it: so nothing is left on this node when the first one has
ended, or when nothing leads to it any more.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.contract.process import count_oom_kills
from training.contract.run_directory import RunDirectory
from training.finetune.first_node import read_profile
from training.finetune.nodes import Rendezvous
from training.finetune.torchrun import explain, run_ranks

MAX_ORDER = 4096  # bytes


def join(path: Path) -> int:
    """Train the run at `path` with the ranks of this node. Returns 0 if all ended well."""
    os.umask(0o077)
    run = RunDirectory(path)
    if (rendezvous := _read_order()) is None or (profile := read_profile(run)) is None:
        print(f"{path}: this process is started by the first node of a run.", file=sys.stderr)  # noqa: T201
        return 2
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # the first node decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_first_node, name="first-node", daemon=True).start()
    before = count_oom_kills()
    try:
        failures = run_ranks(run, profile.processes, rendezvous)
        failed = explain(run, failures, rendezvous, ran_out=count_oom_kills() > before)
    except TrainingFailure as failure:
        failed = ev.Failed(kind=failure.kind, message=f"Node {rendezvous.name}: {failure.message}", hint=failure.hint)
    if failed:
        print(msgspec.json.encode(failed).decode(), flush=True)  # noqa: T201
    return 1 if failed else 0


def _read_order() -> Rendezvous | None:
    """Read the line that the first node has sent; None if there is none."""
    order = b""
    while not order.endswith(b"\n") and len(order) < MAX_ORDER:
        if not (part := os.read(0, MAX_ORDER)):
            break
        order += part
    try:
        return msgspec.json.decode(order, type=Rendezvous)
    except msgspec.MsgspecError:
        return None


def _end_with_first_node() -> None:
    while os.read(0, MAX_ORDER):
        pass
    os._exit(0)
