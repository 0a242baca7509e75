"""`killed_trainer.py RUN SIGNAL`: a trainer that a signal ends at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from training.contract.run_directory import RunDirectory
from training.keeper import supervisor

code = supervisor.fork(RunDirectory(Path(sys.argv[1])))
if code is not None:
    sys.exit(code)
os.kill(os.getpid(), int(sys.argv[2]))
