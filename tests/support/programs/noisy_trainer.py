"""A trainer that prints one warning 200,000 times under limits of a log that are small, and ends with code 7."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from training.contract import log
from training.keeper import keeper

keeper.POLL_SECONDS, log.MAX_LOG_BYTES = 0.01, 2**20
log.BYTES_KEPT_AT_START, log.BYTES_KEPT_AT_END = 2**16, 2**18
if sys.argv[1] != "attempt":
    sys.exit(keeper.keep(Path(sys.argv[1]), (sys.executable, __file__, "attempt")))
for line in range(200_000):
    os.write(1, b"%06d the same warning over and over again\n" % line)
sys.exit(7)
