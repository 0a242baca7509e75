"""RUN/engine.json: the engine that a run was given to, and the last state in which it was seen there.

A run without the file is a local one: its keeper is a process of this machine, or of one that shares the folder.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from training.contract import files
from training.contract.origin import encode, is_copied

EngineName = Literal["local", "slurm", "ssh"]
EngineStatus = Literal["waiting", "running", "gone", "unreachable"]
"""waiting: the engine has the run and has not begun it, or begins it again later. running: it has begun it.
gone: the engine knows no such job or process any more, and every event that it wrote is in RUN/events.jsonl.
unreachable: the engine did not answer, so nobody knows."""

NEWS_SECONDS = 60.0
"""An event of this age or younger proves that the run was alive, if the engine has not answered since."""
DAMAGED = "Its engine.json is damaged. If you know that nothing trains the run, delete that file."

JobId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{0,12}\Z")]
"""Only digits: a copied run must not name an option of the command that cancels a job."""


class EngineRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The engine writes the first one before it asks for a job, so that no job is ever forgotten, and
    `codex_tui.engines.refresh` writes later ones. Write a changed copy with `msgspec.structs.replace`.

    `job`, `host`, `folder` and `reason` come from outside: clean them before you show them.
    """

    engine: EngineName
    job: JobId = ""  # Slurm's job id; "" for ssh
    host: str = ""  # where it runs, as a person names it: the remote's name, or Slurm's list of nodes
    folder: str = ""  # the run directory over there; "" if both machines share this one
    submitted: float = 0.0  # Unix seconds
    offset: int = 0  # the size of events.jsonl when it was submitted: an end before it is that of an earlier attempt
    attempt: int = 1  # the first one that this job trains. Later ones may follow in the same job
    status: EngineStatus = "waiting"
    reason: str = ""  # why it waits, is unreachable or is gone: a sentence, or Slurm's word for it
    seen: float = 0.0  # Unix seconds: when the engine last answered. It stays while `status` is unreachable
    since: float = 0.0  # Unix seconds: when `status` began
    is_held: bool = False  # it waits until a person releases it; who parked the run, and why, is in the events
    is_copy: bool = False  # its folder is a copy of the one that the engine has: it never asks or stops the original

    @property
    def has_more(self) -> bool:
        """Whether its engine has more to say about the run. An ended run counts until the engine has let it go."""
        return self.status != "gone" and self.engine != "local"

    def change_status(self, status: EngineStatus, now: float, **changes: Any) -> EngineRecord:
        """Return a copy with `changes` in the state `status`, which began `now`, unless the record is in it already."""
        since = self.since if self.status == status else now
        return msgspec.structs.replace(self, status=status, since=since, **changes)


def read_record(path: Path) -> EngineRecord | None:
    """Read engine.json. Of a damaged file nobody knows which engine to ask."""
    try:
        data = files.read(path)
        record = msgspec.json.decode(data, type=EngineRecord)
        return _make_copy(record) if is_copied(data, path.parent) else record
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:  # a shared disk that fails now
        reason = f"Its engine.json can't be read: {error.strerror}."
    except (ValueError, RecursionError):
        reason = DAMAGED
    return EngineRecord("local", status="unreachable", reason=reason)


def write_record(path: Path, record: EngineRecord) -> None:
    files.write_atomically(path, encode(record, path.parent))


def _make_copy(record: EngineRecord) -> EngineRecord:
    """Return the record of a run whose folder is a copy: no engine has it."""
    ran = f"as job {record.job}" if record.job else f"on {record.host or record.engine}"
    return msgspec.structs.replace(
        record, status="gone", reason=f"This is a copy; its original ran {ran}.", job="", folder="", is_copy=True
    )


def has_news(record: EngineRecord, events: Path) -> bool:
    """Whether an event came a moment ago, after the engine's last answer: then the run is alive, whatever it said."""
    if record.is_copy:
        return False
    try:
        written = events.stat().st_mtime
    except OSError:
        return False
    return written > max(record.seen, record.submitted) and abs(time.time() - written) < NEWS_SECONDS
