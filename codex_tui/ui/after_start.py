"""What the app begins when its first screen is complete."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

from textual.app import App

from codex_tui.engines.watch import EngineWatch
from codex_tui.runs.library import list_engine_runs
from training.contract.run_directory import RunDirectory


def collect_garbage() -> None:
    """Let Python look for garbage from now on, but not among the thousands of objects of the imports."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def watch_engines(app: App[Any]) -> EngineWatch:
    """Start to look at the unfinished runs of clusters and remotes until the app ends: often at those that a cockpit
    shows, seldom at all others. The screens read what it writes into the run directories."""

    def list_shown() -> Iterator[RunDirectory]:
        if not app.is_running:
            watch.stop()
            return
        for screen in tuple(app.screen_stack):  # a copy, because the screens change in another thread
            if isinstance(run := getattr(screen, "run_directory", None), RunDirectory):
                yield run

    watch = EngineWatch(list_shown, list_engine_runs)
    watch.start()
    return watch
