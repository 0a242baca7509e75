"""A trainer whose attempts end as the run's profile.toml lists them, a word each: memory, hang, lost, done. The keeper,
the choice of a remedy and the search for hangs are the real ones, on a clock that is a hundred times faster.

`failing_trainer.py RUN` keeps the run; the keeper starts it again as an attempt.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from training.contract import events as ev
from training.contract.config import RunConfig
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.keeper import hangs, keeper

keeper.POLL_SECONDS = hangs.LOOK_SECONDS = 0.05
hangs.MIN_SECONDS = 0.5
if sys.argv[1] != "attempt":
    sys.exit(keeper.keep(Path(sys.argv[1]), (sys.executable, __file__, "attempt")))
run = RunDirectory(Path(sys.argv[2]))
recorded = run.read_process()
attempt = recorded.attempt if recorded and recorded.pid == os.getpid() else 1
run.write_process(ProcessIdentity.current(attempt))
step = keeper.find_saved_step(run)
writer = EventWriter(run.events)
writer.emit(ev.Started(attempt=attempt, pid=os.getpid(), resume_step=step))
writer.emit(ev.Phase(name="training", total=20, unit="steps"))


def beat() -> None:
    while True:
        writer.emit(ev.Heartbeat(step=step))
        time.sleep(0.02)


threading.Thread(target=beat, daemon=True).start()
words = run.profile.read_text().split()
word = words[min(attempt, len(words)) - 1]
for _ in range(12 if step == 0 else 8):
    time.sleep(0.05)
    step += 1
    writer.emit(ev.Metrics(step=step, loss=1.0, tokens=step))
if attempt == 1:
    (run.checkpoints / f"checkpoint-{step - 2}").mkdir(parents=True)
if word == "hang":
    time.sleep(3600)
if word == "memory":
    memory = ev.OutOfMemory(
        task="training",
        requested_mib=96,
        allocated_mib=2700 if attempt == 1 else 2500,
        offload_layers=RunConfig.read(run.config).healed.get("model.offload_layers", 0),
        limit_mib=3200,
        context_mib=500,
        tokens=2048,
        row_tokens=2048,
        file="rows.jsonl",
        line=812,
    )
    writer.emit(ev.Failed(kind="gpu_memory", message="GPU memory ran out.", hint="h", step=step, memory=memory))
    os._exit(1)
if word == "lost":
    writer.emit(ev.Failed(kind="driver_lost", message="The GPU or its driver stopped answering.", step=step))
    os._exit(1)
writer.emit(ev.Done(step=step))
os._exit(0)
