"""Fetches what a run has left on another machine, before a command needs it."""

from __future__ import annotations

import sys

from training.contract.run_directory import RunDirectory


def fetch_results(run: RunDirectory) -> None:
    """If `run` is a mirror that has ended, wait until its adapter is here. Say it if the other machine is silent."""
    if not run.is_mirror():
        return
    from codex_tui.base.progress import Progress
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.engines.watch import bring_rest
    from codex_tui.runs.engine_reason import name_place_of_run

    with print_progress() as report:
        report(Progress(f"fetching the results of {clean(run.name)} from {clean(name_place_of_run(run))}"))
        record = bring_rest(run)
    if record and record.status == "unreachable":
        from codex_tui.runs.engine_reason import describe_no_answer

        print(clean(f"{describe_no_answer(record)} What {run.name} has left there is not here yet."), file=sys.stderr)
