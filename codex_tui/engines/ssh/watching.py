"""Looks at a run on its remote: brings its new files here, and notes whether it still runs there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from codex_tui.base.errors import CodexError, convert_os_error
from codex_tui.engines.ssh import frames, mirror
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import Unreachable
from codex_tui.engines.ssh.remote.remotes import Remote, find_remote
from codex_tui.engines.ssh.results import fetch_results, list_results
from codex_tui.runs.fetching import publish_progress
from training.contract.config import ConfigError
from training.contract.engine import EngineRecord, EngineStatus
from training.contract.run_directory import RunDirectory

ANSWER_SECONDS = 10.0
"""The time that a remote has to answer, and that its answer counts."""


class Note(NamedTuple):
    """The state of a run on its remote, as this process saw it last. `answered` is the Unix time of its last answer."""

    status: EngineStatus
    reason: str = ""
    folder: str = ""
    answered: float = 0.0
    noted: float = 0.0  # monotonic


_notes: dict[Path, Note] = {}


def find_note(run: RunDirectory) -> Note | None:
    """Return the note of the last look, unless it is too old or there was none."""
    note = _notes.get(run.path)
    return note if note and time.monotonic() - note.noted < ANSWER_SECONDS else None


def forget_note(run: RunDirectory) -> None:
    """Forget what was known before the run is started again."""
    _notes.pop(run.path, None)


def look_over(run: RunDirectory, *, once: bool, is_wanted: Callable[[], bool] = lambda: True) -> bool:
    """Bring what is new over there. Unless `once` is set, go on until the run ends or `is_wanted` says no. Returns
    whether files came.

    Notes nothing if another process does it. Never raises for a cut link, a full disk, or a remote that was removed.
    """
    record = run.read_engine()
    if record is None:
        return False
    try:
        with mirror.hold(run) as held:
            return held is not None and _Look(run, record, held, is_wanted).bring(once=once)
    except Unreachable as error:
        _write_note(run, "unreachable", error.reason)
    except (CodexError, ConfigError) as error:
        _write_note(run, "unreachable", error.message)
    except OSError as error:  # a full disk here
        _write_note(run, "unreachable", convert_os_error(error).message)
    return False


class _Look:
    """One look, which holds the mirror's lock."""

    def __init__(
        self, run: RunDirectory, record: EngineRecord, held: mirror.Mirror, is_wanted: Callable[[], bool]
    ) -> None:
        self._run, self._record, self._mirror, self._is_wanted = run, record, held, is_wanted
        self._came = False
        self._seen = mirror.Seen(True, "")

    def bring(self, *, once: bool) -> bool:
        run, record = self._run, self._record
        if not record.folder:  # the program that sends a run holds the lock
            _write_note(run, "gone", f"It was not sent to {record.host}: the program that sent it was ended.")
            return False
        remote = find_remote(record.host)
        connection = Connection(remote.host, remote.name)
        request = self._mirror.make_request() | {"folder": record.folder, "once": once}
        answer = frames.ask(connection, remote.root, "watch", ANSWER_SECONDS, **request)
        self._mirror.apply(self._count(answer), self._on_seen)
        if not self._seen.live:
            self._finish(connection, remote)
        return self._came

    def _count(self, answer: Iterator[frames.Frame]) -> Iterator[frames.Frame]:
        for frame in answer:
            self._came = self._came or frame.kind not in ("state", "missing")
            yield frame
            if note := _notes.get(self._run.path):  # no event here may look newer than the last answer
                _notes[self._run.path] = note._replace(answered=time.time())

    def _on_seen(self, seen: mirror.Seen) -> bool:
        self._seen = seen
        if seen.live:
            _write_note(self._run, "running", folder=seen.folder, answered=True)
        return self._is_wanted()

    def _finish(self, connection: Connection, remote: Remote) -> None:
        """Fetch what the run has left over there. It is gone from the remote only when everything is here."""
        run, folder = self._run, self._seen.folder
        if not folder:
            _write_note(run, "gone", f"Its folder is gone on {remote.name}.", answered=True)
            return
        if self._came or self._record.status != "gone":
            with publish_progress(run) as report:
                identity = {"folder": folder, **mirror.identify(run)}
                results = list_results(connection, remote.root, identity, report)
                self._came = fetch_results(connection, folder, run, results, report) or self._came
        began = run.count_event_bytes() > self._record.offset
        attempt = "It" if self._record.attempt == 1 else f"Attempt {self._record.attempt}"
        reason = "" if began else f"{attempt} never began on {remote.name}."
        _write_note(run, "gone", reason, folder=folder, answered=True)


def _write_note(
    run: RunDirectory, status: EngineStatus, reason: str = "", *, folder: str = "", answered: bool = False
) -> None:
    before = _notes.get(run.path)
    last_answer = time.time() if answered else before.answered if before else 0.0
    _notes[run.path] = Note(status, reason, folder, last_answer, time.monotonic())
