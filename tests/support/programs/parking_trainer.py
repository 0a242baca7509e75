"""A trainer that logs a step each 10 ms, with checkpoints of nothing, and does what the real one does at a request.

`parking_trainer.py RUN [STEPS]` keeps the run; the keeper starts it again as an attempt.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from training.contract import events as ev
from training.contract.control import Request
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity, die_with_parent
from training.contract.run_directory import RunDirectory
from training.keeper import keeper

keeper.POLL_SECONDS = 0.01
if sys.argv[1] != "attempt":
    sys.exit(keeper.keep(Path(sys.argv[1]), (sys.executable, __file__, "attempt", *(sys.argv[2:] or ["100000"]))))
total, run = int(sys.argv[2]), RunDirectory(Path(sys.argv[3]))
recorded = run.read_process()
attempt = recorded.attempt if recorded and recorded.pid == os.getpid() else 1
run.write_process(ProcessIdentity.current(attempt))
die_with_parent(False)
sigterms: list[int] = []
signal.signal(signal.SIGTERM, lambda number, _: sigterms.append(number))
step = keeper.find_saved_step(run)
writer = EventWriter(run.events)
writer.emit(ev.Started(attempt=attempt, pid=os.getpid(), resume_step=step))
writer.emit(ev.Resolved(total_steps=total, steps_per_epoch=100, train_rows=800, eval_rows=0))
writer.emit(ev.Phase(name="training", total=total, unit="steps"))


def end(event: ev.Event) -> None:
    writer.emit(event)
    os._exit(0)


while step < total:
    request = Request("save" if len(sigterms) == 1 else "terminate") if sigterms else run.read_request()
    if request and request.word == "terminate":
        end(ev.Stopped(step=step))
    if request and request.word in ("save", "park"):
        (run.checkpoints / f"checkpoint-{step}").mkdir(parents=True, exist_ok=True)
        if request.word == "park":
            end(ev.Held(state="parked", reason=request.reason, ends=request.ends or ev.BY_HAND, step=step))
        end(ev.Stopped(step=step))
    step += 1
    writer.emit(ev.Metrics(step=step, loss=1.0, tokens=step))
    time.sleep(0.01)
end(ev.Done(step=step))
