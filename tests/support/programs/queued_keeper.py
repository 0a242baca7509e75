"""A keeper as `python -m training RUN` starts it, whose trainers only log: `queued_keeper.py STEPS SECONDS RUN`.

The keeper is the real one. Each trainer takes SECONDS for a step. If there is a folder `.on-the-card` beside the runs,
it fails if another trainer is at work on one of its cards: each locks a file there for each card.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from training.contract import events as ev
from training.contract.card_queue import Lease
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity, die_with_parent
from training.contract.run_directory import RunDirectory
from training.keeper.run_config import read_config
from training.memory.visible_gpu import name_cards, read_devices

ON_CARD = ".on-the-card"


def train(steps: int, seconds: float, run: RunDirectory) -> None:
    Lease.inherit()
    cards = []
    if (folder := run.path.parent / ON_CARD).is_dir():
        for name in name_cards(*read_devices(read_config(run).profile)):
            cards.append((folder / name).open("w"))
            fcntl.flock(cards[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock = run.lock.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process = run.read_process()
    attempt = process.attempt if process else 1
    run.write_process(ProcessIdentity.current(attempt))
    die_with_parent(False)
    writer = EventWriter(run.events)
    writer.emit(ev.Started(attempt=attempt, pid=os.getpid()))
    writer.emit(ev.Resolved(total_steps=steps, steps_per_epoch=steps, train_rows=8, eval_rows=0, device="cpu"))
    for step in range(1, steps + 1):
        time.sleep(seconds)
        writer.emit(ev.Metrics(step=step, loss=1 / step, tokens=step * 100, tokens_per_second=100 / seconds))
        if request := run.read_request():
            is_park = request.word == "park"
            held = ev.Held(state="parked", reason=request.reason, ends=ev.BY_HAND)
            writer.emit(held if is_park else ev.Stopped(step=step))
            return
    writer.emit(ev.Done(step=steps))


def main(arguments: list[str]) -> int:
    if arguments[0] == "attempt":
        _, steps, seconds, run = arguments
        train(int(steps), float(seconds), RunDirectory(run))
        return 0
    from training.keeper.keeper import keep

    steps, seconds, run = arguments
    return keep(Path(run), [sys.executable, __file__, "attempt", steps, seconds])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
