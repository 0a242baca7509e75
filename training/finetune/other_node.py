"""`python -m training node RUN`: runs the ranks of a node after the first one. See `other_nodes`, which starts it.

Its ranks end with it. It ends when its stdin ends, or when no sign has come from the first node for a minute: so
nothing is left on this node when the first one has ended, or when nothing leads to it any more. It answers each sign
with one.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.contract.process import count_oom_kills
from training.contract.run_directory import RunDirectory
from training.finetune.first_node import read_profile
from training.finetune.nodes import SILENT_SECONDS, Rendezvous
from training.finetune.torchrun import explain, run_ranks

MAX_ORDER = 4096  # bytes
_speaking = threading.Lock()


def join(path: Path) -> int:
    """Train the run at `path` with the ranks of this node. Returns 0 if all ended well."""
    os.umask(0o077)
    run = RunDirectory(path)
    if (rendezvous := _read_order()) is None or (profile := read_profile(run)) is None:
        print(f"{path}: this process is started by the first node of a run.", file=sys.stderr)  # noqa: T201
        return 2
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # the first node decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_stay_with_first_node, name="first-node", daemon=True).start()
    before = count_oom_kills()
    try:
        failures = run_ranks(run, profile.processes, rendezvous)
        failed = explain(run, profile, failures, rendezvous, ran_out=count_oom_kills() > before)
    except TrainingFailure as failure:
        failed = ev.Failed(kind=failure.kind, message=f"Node {rendezvous.name}: {failure.message}", hint=failure.hint)
    if failed:
        _say(b"\n" + msgspec.json.encode(failed))
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


def _stay_with_first_node() -> None:
    reads = True
    while reads:
        with suppress(OSError):
            _say(b"")
        reads = bool(select.select([0], [], [], SILENT_SECONDS)[0] and os.read(0, MAX_ORDER))
    os._exit(0)


def _say(line: bytes) -> None:
    with _speaking:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
