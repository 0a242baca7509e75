"""`python -m support.programs [MODULE ...]` imports the modules once, then runs programs in processes that it forks.

Each line of stdin is a call as JSON; support/program_server.py writes it. The answer is a line with the exit code. The
last line of the program's output is its result as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

TIMEOUT_SECONDS = 600


def run(call: dict[str, Any]) -> None:
    signal.alarm(TIMEOUT_SECONDS)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environ"])
    for name, number in (("output", 1), ("errors", 2)):
        os.dup2(os.open(call[name], os.O_WRONLY | os.O_TRUNC), number)
    module = importlib.import_module(f"support.programs.{call['program']}")
    print(json.dumps(getattr(module, call["function"])(*call["arguments"])))


def run_forked(call: dict[str, Any]) -> int:
    """Run the call in a process of its own, because programs replace parts of the libraries. Returns its exit code."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        run(call)
        code = 0
    except BaseException:  # noqa: BLE001  the child must not return into the loop of its parent
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # what the modules print when they are imported is no answer
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    print(run_forked(json.loads(line)), file=answers)
