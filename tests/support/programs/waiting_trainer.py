"""A trainer that takes the run's lock, says who it is, and waits until it is told to end.

`waiting_trainer.py obedient|stubborn RUN`: a stubborn one ends by a signal alone.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

manner, run = sys.argv[1], RunDirectory(sys.argv[2])
lock = run.lock.open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit("another process is training this run")
before = run.read_process()
attempt = 1 if before is None else before.attempt + (before.pid != os.getpid())
run.write_process(ProcessIdentity.current(attempt))
signal.signal(signal.SIGTERM, lambda *_: print("told to end", flush=True))
print("training", os.getcwd(), sys.stdin.read() == "", os.environ["PYTHONPATH"], flush=True)  # noqa: PTH109  the text
while run.read_stop_request() != "terminate" or manner == "stubborn":
    time.sleep(0.01)
