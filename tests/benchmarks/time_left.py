"""How well a run knew its end: the time left as the cockpit shows it at several steps, against the time it then took.

    PYTHONPATH=. python tests/benchmarks/time_left.py RUN...

RUN is the directory of a run that is done in one attempt. It needs no GPU: the events have all times.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from codex_tui.runs.pace import estimate_time_left
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history import tailer
from training.history.reduce import reduce
from training.history.state import RunState

SHARES = (0.02, 0.05, 0.1, 0.25, 0.5)  # of all steps, at which the estimate is looked at


def measure(run: RunDirectory) -> dict[str, object]:
    """Compare the estimates of `run` with its end. An error of 0.05 is a time that was 5 % too long."""
    events = [event for piece in tailer.Tailer(run.events).slices() for event in piece.events]
    end = next((event.time for event in reversed(events) if isinstance(event, ev.Done)), None)
    begun = next((event.time for event in events if isinstance(event, ev.Metrics)), None)
    if end is None or begun is None:
        sys.exit(f"{run.name} is not done.")
    state, errors, shares = RunState(), {}, list(SHARES)
    for event in events:
        reduce(state, event)
        if not shares or not isinstance(event, ev.Metrics) or not state.total_steps:
            continue
        left = estimate_time_left(state)
        if left is not None and event.step >= shares[0] * state.total_steps:
            whole = end - begun
            errors[f"step {event.step} of {state.total_steps}"] = round((event.time - begun + left) / whole - 1, 3)
            shares = [share for share in shares if share * state.total_steps > event.step]
    return {"run": run.name, "seconds_of_steps": round(end - begun, 1), "error_of_the_whole_time": errors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="+", type=Path)
    for path in parser.parse_args().run:
        print(json.dumps(measure(RunDirectory(path))), flush=True)


if __name__ == "__main__":
    main()
