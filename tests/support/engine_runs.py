"""Gives a run to an engine: writes its engine.json, and lets its last event be old."""

from __future__ import annotations

import os
import time
from typing import Any

from training.contract.engine import EngineRecord, EngineStatus
from training.contract.run_directory import RunDirectory


def put_on_box(run: RunDirectory, status: EngineStatus, *, silent: float = 300.0, **values: Any) -> EngineRecord:
    """The machine "box" has `run` and answered five seconds ago. The run's last event is `silent` seconds old."""
    now = time.time()
    if run.events.exists():
        os.utime(run.events, (now - silent,) * 2)
    record = EngineRecord(
        "ssh",
        **{"host": "box", "folder": f"/home/me/runs/{run.name}", "status": status, "seen": now - 5, "since": now - 5}
        | values,
    )
    run.write_engine(record)
    return record


def put_on_slurm(run: RunDirectory, status: EngineStatus, **values: Any) -> EngineRecord:
    now = time.time()
    if run.events.exists():
        os.utime(run.events, (now - 300.0,) * 2)
    record = EngineRecord("slurm", **{"job": "4711", "status": status, "seen": now - 5, "since": now - 5} | values)
    run.write_engine(record)
    return record
