"""`python -m support.programs [MODULE ...]` imports the modules once, then runs programs in processes that it forks.

Each line of stdin is a call as JSON; support/program_server.py writes it. The answer to a call of a program is a line
with its exit code, and the last line of its output is its result as JSON. The answer to a call of `python -m training`
is its pid.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

from support.programs import forked_training

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
forked_training.import_libraries(sys.argv[1:])
for line in sys.stdin:
    call = json.loads(line)
    print(run_forked(call) if "program" in call else forked_training.start(call), file=answers)
