"""`logging_trainer.py RUN STEPS`: a trainer that logs STEPS steps from where the run is, as fast as a disk allows.

Its parent records the history from the first event on, in small chunks.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.run_directory import RunDirectory
from training.history import recorder
from training.history.reduce import reduce_all
from training.history.state import RunState
from training.history.tailer import decode
from training.keeper import keeper, recording

keeper.POLL_SECONDS, recording.MIN_RECORDED_BYTES, recording.RETRY_BYTES, recorder.MIN_CHUNK_BYTES = 0.01, 1, 1, 8192
if sys.argv[1] != "attempt":
    sys.exit(keeper.keep(Path(sys.argv[1]), (sys.executable, __file__, "attempt", sys.argv[2])))
run = RunDirectory(Path(sys.argv[3]))
before = RunState()
if run.events.exists():
    reduce_all(before, decode(run.events.read_bytes().rpartition(b"\n")[0] + b"\n").events)
folder = os.open(run.path, os.O_RDONLY)
writer = EventWriter(run.events, lambda: Path(f"/proc/self/fd/{folder}").readlink() / run.events.name)
first = before.step * 9 // 10
writer.emit(ev.Started(attempt=before.attempt + 1, pid=os.getpid(), resume_step=first))
writer.emit(ev.Phase(name="training"))
for step in range(first + 1, first + int(sys.argv[2]) + 1):
    writer.emit(ev.Metrics(step=step, loss=random.random(), tokens=step))
    if step % 100 == 0:
        writer.emit(ev.Eval(step=step, eval_loss=random.random()))
        time.sleep(0.002)
writer.emit(ev.Done(step=step))
os._exit(0)
