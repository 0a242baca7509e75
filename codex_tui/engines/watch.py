"""Asks engines where their runs are, and writes it into RUN/engine.json, which is all that viewers read."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from codex_tui.engines.registry import find_engine
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

WRITE_SECONDS = 20.0
"""An unchanged answer is written again after this time only, which spares the disk."""


def refresh(run: RunDirectory) -> EngineRecord | None:
    """Ask the engine of `run` once, and bring its new files here. Takes seconds. Returns None for a local run."""
    before = run.read_engine()
    if before is None:
        return None
    engine = find_engine(run)
    engine.fetch(run)
    after = engine.look(run)
    unchanged = msgspec.structs.replace(after, seen=before.seen) == before
    if unchanged and after.seen < before.seen + WRITE_SECONDS:
        return before
    current = run.read_engine()
    if current is None or current.submitted != before.submitted:  # it was started again meanwhile
        return current
    with suppress(OSError):  # a full disk: the answer counts nevertheless
        run.write_engine(after)
    return after
