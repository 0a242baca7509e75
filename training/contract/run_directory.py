"""The run directory: everything about a run is on disk, so that a viewer can open and close at any time.

    profile.toml    a copy of the chosen profile file
    config.json     the settings and what really ran; see `training.contract.config`
    book.jsonl      a copy of the questions that the profile's evaluation.book names; see `training.dataset.book`
    process.json    the trainer: pid, create time and boot, so that no other process gets its signals
    history         state and curve from events.jsonl in columns; see `training.history.columns`. It can be deleted
    events.jsonl    see `training.contract.events`
    trainer.log     stdout and stderr of the trainer
    control         a stop request
    exit.json       how the last trainer process ended, if its parent was alive then
    note.txt        a line that the person wrote about the run
    lock            held by the trainer while it lives (flock)
    announced       what viewers have told the person, one line each; see `codex_tui.runs.announced`
    checkpoints/    checkpoint-N folders as `transformers.Trainer` writes them
    adapter/        the result, in plain PEFT layout
    judgements/     how the adapter answers the questions of a book; see `training.contract.judgement`
    exports/        exported models, a folder for each kind of export; see `codex_tui.export.steps`

Folders are 0700 and files 0600. No token or secret is ever written here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from training.contract import files
from training.contract.process import Exit, ProcessIdentity

ADAPTER_CONFIG = "adapter_config.json"  # PEFT writes it into the folder of an adapter

StopLevel = Literal["save", "terminate"]


class _Inside:
    """The path of a file or folder in a run directory. It is made when it is first used, because a list of thousands
    of runs uses few of them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __set_name__(self, owner: type, attribute: str) -> None:
        self._attribute = attribute

    def __get__(self, run: RunDirectory, owner: type) -> Path:
        path: Path = run.path / self._name
        run.__dict__[self._attribute] = path  # which Python finds before it asks here again
        return path


class RunDirectory:
    """Paths and small files of one run. Reading never changes anything; JSON files are replaced atomically."""

    profile = _Inside("profile.toml")
    config = _Inside("config.json")
    process = _Inside("process.json")
    exit = _Inside("exit.json")
    reserve = _Inside(".reserve")
    events = _Inside("events.jsonl")
    history = _Inside("history")
    log = _Inside("trainer.log")
    control = _Inside("control")
    note = _Inside("note.txt")
    lock = _Inside("lock")
    announced = _Inside("announced")
    checkpoints = _Inside("checkpoints")
    adapter = _Inside("adapter")
    judgements = _Inside("judgements")
    book = _Inside("book.jsonl")
