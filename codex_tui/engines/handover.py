"""Keeps engine.json and control of a run right while an engine is asked to start it, whatever goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from codex_tui.base.errors import CodexError
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory


class MayHaveBegun(CodexError):
    """The engine was asked to start the run, and its answer did not come: nobody knows whether it has the run. `record`
    says what is known of it, if that is not in engine.json."""

    def __init__(self, message: str, hint: str, record: EngineRecord | None = None) -> None:
        self.record = record
        super().__init__(message, hint)


@contextmanager
def hand_over(run: RunDirectory, record: EngineRecord) -> Iterator[None]:
    """Write `record` into RUN/engine.json before the block asks an engine to start the run.

    If the block fails, the run was not started, and engine.json is as it was before. After MayHaveBegun, and if this
    program is ended, the last record stays: the next look at the run finds out what came of it.
    """
    before = run.read_engine()
    run.write_engine(record)
    try:
        yield
    except MayHaveBegun as error:
        with suppress(OSError):  # on a full disk the record before stays, with which a look finds the run too
            if error.record:
                run.write_engine(error.record)
        raise
    except Exception:
        with suppress(OSError):  # a full disk must not hide why the block failed
            if before:
                run.write_engine(before)
            else:
                run.engine.unlink()
        raise


@contextmanager
def set_request_aside(run: RunDirectory) -> Iterator[None]:
    """Take an older request out of RUN/control while the block asks an engine to start the run.

    If the block fails, the request is back, unless the run may have begun: it would stop for it. `hand_over` leaves
    another record in engine.json then.
    """
    before, aside = run.read_engine(), run.control.with_name(".control.before")
    try:
        run.control.rename(aside)
    except FileNotFoundError:
        aside.unlink(missing_ok=True)  # of a program that was ended here
    try:
        yield
    except Exception:
        if run.read_engine() == before and not run.control.exists():
            with suppress(OSError):
                aside.rename(run.control)
        raise
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
