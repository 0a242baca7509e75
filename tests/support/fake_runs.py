"""Runs that have told of given events, and what a command prints of them."""

from __future__ import annotations

import json
import os
import time

import pytest

from codex_tui.base import locations
from codex_tui.runs.library import list_names
from codex_tui.runs.summaries import summarise_runs
from codex_tui.runs.summary import RunSummary
from support.config_file import write_config
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


def make_run(name: str, *events: ev.Event, alive: bool = False, kept: bool = False) -> RunDirectory:
    """As a trainer that told of `events` leaves it; of one that is `alive`, this process is the trainer, of one that is
    `kept` the keeper."""
    run = RunDirectory(locations.runs_home() / name)
    run.create()
    run.profile.write_text("")
    write_config(run, {"name": name, "profile_name": "demo", "profile": {}, "created": time.time() - 3600})
    run.write_process(ProcessIdentity.current() if alive else ProcessIdentity(os.getpid(), 1.0))
    if kept:
        run.write_keeper(ProcessIdentity.current())
    append_events(run, *events)
    return run


def append_events(run: RunDirectory, *events: ev.Event) -> None:
    """Add `events` to those of `run`, as its trainer does."""
    writer = EventWriter(run.events)
    for event in events:
        writer.emit(event)
    writer.close()


def list_summaries() -> list[RunSummary]:
    """List the summaries of all runs, newest first, as the list of runs does."""
    return list(summarise_runs(list_names()))


def as_json(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out)
