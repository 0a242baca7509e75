"""Asks the engine of a run where it is, and writes the answer into RUN/engine.json, which is all that viewers read."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from codex_tui.base.errors import CodexError
from codex_tui.engines.registry import find_engine
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

WRITE_SECONDS = 20.0
"""An unchanged answer is written again after this time only, which spares the disk."""
MAX_LOOKS = 8  # at the same time; each is a process or a connection
PATIENCE_SECONDS = 15.0  # with a machine that has files of an ended run: a link that comes back may fail once more
REST_SECONDS = 0.2  # between two looks at a machine that has files of an ended run


def refresh(run: RunDirectory) -> EngineRecord | None:
    """Ask the engine of `run` once, and bring its new files here. Takes seconds. Returns None for a local run."""
    before = run.read_engine()
    if before is None or not before.has_more:
        return before
    engine = find_engine(run)
    engine.fetch(run)
    after = engine.look(run)
    unchanged = msgspec.structs.replace(after, seen=before.seen) == before
    if unchanged and after.seen < before.seen + WRITE_SECONDS:
        return before
    current = run.read_engine()
    if current != before:  # another program has written meanwhile, and may know more: a new job, or a park
        return current
    with suppress(OSError):  # a full disk: the answer counts nevertheless
        run.write_engine(after)
    return after


def bring_rest(run: RunDirectory) -> EngineRecord | None:
    """If `run` is a mirror that has ended, wait until all of its files are here, or its machine does not answer for a
    while."""
    from codex_tui.runs.follower import snapshot  # the app watches its runs before it needs this

    answered = time.monotonic()
    while (record := refresh(run)) and record.has_more and snapshot(run).ended:
        if record.status != "unreachable":
            answered = time.monotonic()
        elif time.monotonic() - answered > PATIENCE_SECONDS:
            break
        time.sleep(REST_SECONDS)
    return record


def refresh_all(runs: Sequence[RunDirectory], seconds: float) -> None:
    """Refresh all `runs` at the same time, and return after `seconds` at the latest. The others stay as they are."""
    deadline = time.monotonic() + seconds
    waiting = list(runs)

    def work() -> None:
        with suppress(IndexError):
            while time.monotonic() < deadline:
                refresh_quietly(waiting.pop())

    threads = [threading.Thread(target=work, daemon=True) for _ in runs[:MAX_LOOKS]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def refresh_quietly(run: RunDirectory) -> None:
    """Refresh `run`. A run that can't be asked for stays as it is."""
    with suppress(CodexError, OSError):
        refresh(run)
