"""Explains in a sentence what an engine says about a run. The sentences may have text from outside: clean them before
they are shown."""

from __future__ import annotations

from codex_tui.base.text import format_moment
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory
from training.history.state import RunState


def describe_wait(record: EngineRecord) -> str:
    """Say why a run waits, such as "Slurm: other jobs come first."."""
    reason = record.reason or "it has not begun"
    return f"{name_place(record)}: {reason.rstrip('.')}."


def describe_no_answer(record: EngineRecord) -> str:
    """Say since when an engine does not answer, and why, such as "No answer from box since 14:02: timed out."."""
    if record.engine == "local":  # a damaged record: nobody knows whom to ask
        return record.reason
    since = f" since {format_moment(record.since)}" if record.since else ""
    reason = f": {record.reason.rstrip('.')}" if record.reason else ""
    return f"No answer from {name_place(record)}{since}{reason}."


def describe_loss(record: EngineRecord, place: str) -> str:
    """Say how a run ended that wrote no last event. `place` says how far it had come, such as "at step 40"."""
    if record.is_copy:
        return record.reason
    reason = f": {record.reason.rstrip('.')}." if record.reason else "."
    return f"It is gone from {name_place(record)} {place}{reason}"


def describe_next(record: EngineRecord, state: RunState) -> str:
    """Say what becomes of a run that waits or whose engine does not answer, and when it did last what is known of it:
    "It may be training. The figures are from 14:02, when it was evaluating."."""
    if record.status == "waiting":
        return "Slurm starts it by itself." if record.engine == "slurm" else "It starts by itself."
    if not record.seen:
        return "It may be training."
    known = "The figures are from" if state.step else "The last answer came at"
    doing = state.held.state if state.held else state.phase.name if state.phase else "training"
    when = "" if doing == "training" else f", when it was {doing}"
    return f"It may be training. {known} {format_moment(record.seen)}{when}."


def describe_place(record: EngineRecord) -> str:
    """Say where a run is or was, such as "box" or "Slurm (n1)"; "" if the record is damaged."""
    if record.engine == "local":
        return ""
    nodes = f" ({record.host})" if record.engine == "slurm" and record.host else ""
    return f"{name_place(record)}{nodes}"


def name_place_of_run(run: RunDirectory) -> str:
    """Name the machine or the cluster that `run` was sent to, or the one that shares this folder and trains it now; ""
    for this machine."""
    record = run.read_engine()
    if record is None:
        return run.find_host()
    return describe_place(record) or name_place(record)


def name_place(record: EngineRecord) -> str:
    """Name where a run was sent, for a sentence, such as "box" or "Slurm"."""
    return "Slurm" if record.engine == "slurm" else record.host or "another machine"
