"""Fetches what a run has left on another machine, before a command needs it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from codex_tui.base.progress import OnProgress
from training.contract.run_directory import RunDirectory

LOOK_SECONDS = 0.3


def fetch_results(run: RunDirectory) -> None:
    """If `run` is a mirror that has ended, wait until its adapter is here. Say it if the other machine is silent."""
    if not run.is_mirror():
        return
    from codex_tui.base.progress import Progress
    from codex_tui.base.text import clean
    from codex_tui.engines.refresh import bring_rest
    from codex_tui.runs.engine_reason import describe_no_answer, name_place_of_run

    with _follow_fetch(run) as report:
        report(Progress(f"fetching the results of {clean(run.name)} from {clean(name_place_of_run(run))}"))
        record = bring_rest(run)
    if record and record.status == "unreachable":
        print(clean(f"{describe_no_answer(record)} What {run.name} has left there is not here yet."), file=sys.stderr)


@contextmanager
def print_fetch(run: RunDirectory) -> Iterator[None]:
    """During the block, which asks the machine of `run`, print the progress of the results that come from there."""
    if not run.is_mirror():
        yield
        return
    with _follow_fetch(run):
        yield


@contextmanager
def _follow_fetch(run: RunDirectory) -> Iterator[OnProgress]:
    """Print the progress of a fetch of `run`, whichever thread or process does it."""
    from codex_tui.commands.progress import print_progress
    from codex_tui.runs.fetching import read_progress

    ended = threading.Event()
    with print_progress() as report:

        def look() -> None:
            while not ended.wait(LOOK_SECONDS):
                if progress := read_progress(run):
                    report(progress)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield report
        finally:
            ended.set()
            thread.join()
