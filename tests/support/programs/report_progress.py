"""`report_progress.py TICKS`: reports progress on stderr that many times, five times a second."""

from __future__ import annotations

import sys
import time

from codex_tui.base.progress import Progress
from codex_tui.commands.progress import print_progress

with print_progress() as report:
    for done in range(int(sys.argv[1])):
        report(Progress("sending \x1b]0;a.jsonl", done * 1_000_000, 10_000_000))
        time.sleep(0.2)
