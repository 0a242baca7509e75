"""Claims the announcement of the end of the run at argv[1] once a line arrives on stdin, and prints whether it won."""

from __future__ import annotations

import sys
from pathlib import Path

from codex_tui.runs.announced import claim
from training.contract.run_directory import RunDirectory

print("ready", flush=True)
sys.stdin.readline()
print(claim(RunDirectory(Path(sys.argv[1])), "done"))
