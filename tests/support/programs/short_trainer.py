"""`short_trainer.py STEPS RUN`: a trainer that logs a step each 10 ms, saves an adapter, and is done."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.keeper import keeper

if sys.argv[2] != "attempt":
    sys.exit(keeper.keep(Path(sys.argv[2]), (sys.executable, __file__, sys.argv[1], "attempt")))
steps, run = int(sys.argv[1]), RunDirectory(Path(sys.argv[3]))
run.write_process(ProcessIdentity.current())
writer = EventWriter(run.events)
writer.emit(ev.Started(attempt=1, pid=os.getpid()))
writer.emit(ev.Resolved(total_steps=steps, steps_per_epoch=100, train_rows=800, eval_rows=0))
for step in range(1, steps + 1):
    writer.emit(ev.Metrics(step=step, loss=1.0, tokens=step))
    time.sleep(0.01)
run.adapter.mkdir()
for name in ("adapter_config.json", "adapter_model.safetensors"):
    (run.adapter / name).write_bytes(os.urandom(100_000))
writer.emit(ev.Done(step=steps))
