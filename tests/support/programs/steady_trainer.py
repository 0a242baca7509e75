"""A trainer that logs 20 steps a second until it is stopped or parked. Its keeper and its writer are the real ones."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.keeper.keeper import keep

TOTAL_STEPS = 5_000

if sys.argv[1] != "attempt":
    sys.exit(keep(Path(sys.argv[1]), (sys.executable, __file__, "attempt")))
run = RunDirectory(Path(sys.argv[2]))
run.write_process(ProcessIdentity.current())
writer, step = EventWriter(run.events), 0
writer.emit(ev.Started(attempt=1, pid=os.getpid()))
writer.emit(ev.Resolved(total_steps=TOTAL_STEPS, steps_per_epoch=100, train_rows=800, eval_rows=0, device="cpu"))
writer.emit(ev.Phase(name="training", total=TOTAL_STEPS, unit="steps"))
while step < TOTAL_STEPS and not run.read_stop_request():
    step += 1
    writer.emit(ev.Metrics(step=step, loss=1 + 10 / (step + 10), tokens=step * 100, tokens_per_second=2000.0))
    print(f"step {step}", flush=True)
    time.sleep(0.05)
if run.read_stop_request() == "park":
    writer.emit(ev.Held(state="parked", reason="You lent the card.", ends=ev.BY_HAND, step=step))
else:
    writer.emit(ev.Stopped(step=step))
