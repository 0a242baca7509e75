"""A trainer that prints one warning 200,000 times under limits of a log that are small, and ends with code 7."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from training.contract import log
from training.contract.run_directory import RunDirectory
from training.keeper import supervisor

supervisor.POLL_SECONDS, log.MAX_LOG_BYTES = 0.01, 2**20
log.BYTES_KEPT_AT_START, log.BYTES_KEPT_AT_END = 2**16, 2**18
code = supervisor.fork(RunDirectory(Path(sys.argv[1])))
if code is not None:
    sys.exit(code)
for line in range(200_000):
    os.write(1, b"%06d the same warning over and over again\n" % line)
sys.exit(7)
