"""The app in a terminal that nobody reads: `python tests/benchmarks/stalled.py [--seconds 30]`.

A stand-in trainer logs 20 steps a second, keys are pressed that draw everything anew, and nothing is read. Printed:
what the app's memory grew by, the trainer's longest step meanwhile and else, and how soon the app shows the run as it
stands once its terminal is read again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))
from support.fake_interpreter import fake_interpreter
from support.kill.connections import events, last_step, stall, wait_until
from support.terminal import Terminal

from training.contract.run_directory import RunDirectory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long nothing is read (30)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codex-tui-benchmark-") as folder:
        os.environ["CODEX_TUI_HOME"] = folder
        run = RunDirectory(Path(folder) / "data" / "runs" / "stalled")
        app = [sys.executable, "-m", "codex_tui", "train", "demo", "--name", run.name, "--no-low-bandwidth"]
        with Terminal([*app, "--python", str(fake_interpreter(Path(folder), "steady_trainer"))]) as terminal:
            terminal.until(r"step\s+[1-9]\d+ / ")
            terminal.read(5)
            stalled = stall(terminal, run, args.seconds, min_steps=1)
            began = time.monotonic()
            while terminal.step < stalled.last_step:
                terminal.read(0.02)
            recovered = time.monotonic() - began
            terminal.type("q")
            terminal.wait()
        run.request_stop()
        wait_until(lambda: not run.is_trainer_alive())
        longest = {False: 0.0, True: 0.0}
        for before, after in pairwise(event for event in events(run) if event["type"] == "metrics"):
            meanwhile = stalled.first_step < after["step"] <= stalled.last_step
            longest[meanwhile] = max(longest[meanwhile], after["time"] - before["time"])
        start, peak = stalled.start_memory / 2**20, stalled.peak_memory / 2**20
        print(f"unread                          {args.seconds:.0f} s or more, {stalled.unread:,} bytes waiting")
        print(f"memory of the app               {start:.1f} MiB, at most {peak:.1f}")
        print(f"steps trained meanwhile         {stalled.last_step - stalled.first_step}, of {last_step(run)}")
        print(f"longest step                    {longest[True]:.3f} s meanwhile, {longest[False]:.3f} s else")
        print(f"shown again as it stands        {recovered:.2f} s after the terminal is read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
