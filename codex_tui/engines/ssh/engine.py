"""The engine ssh: a remote's own Codex TUI trains the run, and RUN here is a mirror of the directory over there.

Nothing of ours listens or stays on the remote: each request is a command of its own `codex-tui`, run over ssh.
"""

from __future__ import annotations

import math
import posixpath
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import msgspec

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.engines.engine import Start
from codex_tui.engines.handover import MayHaveBegun, hand_over
from codex_tui.engines.ssh import mirror
from codex_tui.engines.ssh.link.failures import RemoteFailed, Unreachable
from codex_tui.engines.ssh.remote.app import NoJson, RemoteApp
from codex_tui.engines.ssh.remote.remotes import find_remote
from codex_tui.engines.ssh.sending import find_sent_run, send_run
from codex_tui.engines.ssh.watching import find_note, forget_note, look_over
from codex_tui.runs.follower import snapshot
from codex_tui.runs.outcome import explain_config_error, find_last_checkpoint
from codex_tui.runs.resume_point import ResumePoint
from training.contract.card_queue import NOW
from training.contract.config import ConfigError
from training.contract.control import Request
from training.contract.engine import EngineRecord
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

LOCK_SECONDS = 15.0  # that another process may need for one look
# Over there, a name without --exact may be the beginning of another run's.
COMMANDS = {
    "save": ["stop", "--exact"],
    "terminate": ["stop", "--exact"],
    "park": ["park", "--exact"],
    "resume": ["resume", "--exact"],
}


class SshEngine:
    """Starts, mirrors and stops runs on remotes that the person has added."""

    shares_folder = False

    def check(self, profile: Profile) -> None:
        find_remote(_name_remote(profile))

    def find_resume_point(self, run: RunDirectory, *, from_start: bool) -> ResumePoint:  # noqa: ARG002
        """Return the last checkpoint that the events tell of. If it is damaged, the remote says so at the start."""
        return ResumePoint(find_last_checkpoint(snapshot(run).state))

    def start(self, run: RunDirectory, start: Start) -> None:
        app = RemoteApp(find_remote(_name_remote(start.profile)))
        name = app.remote.name
        before = run.read_engine()
        if before and before.is_copy:  # over there it would be taken for the original
            raise BadInput(
                f"{run.name} can't be resumed. {before.reason}",
                f"Resume the original, or train the profile anew: codex-tui train {run.profile} --on {name}",
            )
        record = EngineRecord(
            "ssh",
            host=name,
            folder=before.folder if before and before.host == name else "",
            submitted=time.time(),
            offset=run.count_event_bytes(),
            attempt=start.attempt,
            reason=f"It is being sent to {name}.",
            since=time.time(),
        )
        with _hold_mirror(run):
            forget_note(run)
            with hand_over(run, record):
                app.ensure(start.report)
                folder = record.folder and find_sent_run(app.connection, app.remote.root, record.folder, run)
                folder = folder or send_run(app.connection, app.remote.root, run, start.report)
                run.write_engine(record := msgspec.structs.replace(record, folder=folder))
                attempt = _begin(_Place(run, app, folder), record, _list_options(start))
            now = time.time()
            run.write_engine(
                msgspec.structs.replace(record, status="running", reason="", attempt=attempt, seen=now, since=now)
            )

    def look(self, run: RunDirectory) -> EngineRecord:
        before = run.read_engine() or EngineRecord("ssh", status="gone")
        if not find_note(run):
            self.fetch(run)
        if not (note := find_note(run)):  # another process watches the run, and writes what it sees
            return before
        folder, seen = note.folder or before.folder, max(before.seen, note.answered)
        return before.change_status(note.status, time.time(), reason=note.reason, folder=folder, seen=seen)

    def ask(self, run: RunDirectory, request: Request) -> None:
        command, *options = COMMANDS[request.word]
        if request.word == "resume":
            options.append("--now" if request.reason == NOW else "--queue")
        _Place.of(run).call(command, *options)
        if request.word != "resume":
            run.write_request(request)  # until the next look brings what is over there

    def kill(self, run: RunDirectory) -> None:
        _Place.of(run).call("stop", "--exact")  # the third one, which kills over there

    def delete(self, run: RunDirectory) -> None:
        if (place := _Place.of(run)).folder:
            place.call("runs rm", "--yes")

    def fetch(self, run: RunDirectory) -> bool:
        return look_over(run, once=True)

    def follow(self, run: RunDirectory, is_wanted: Callable[[], bool]) -> None:
        """Bring events as they are written, until the run ends, the link is cut, or nobody wants them any more. Returns
        at once if another process does it."""
        look_over(run, once=False, is_wanted=is_wanted)


class _Place(NamedTuple):
    """Where `run` is on its remote. `folder` is "" if it is not there any more."""

    run: RunDirectory
    app: RemoteApp
    folder: str

    @classmethod
    def of(cls, run: RunDirectory) -> _Place:
        """Ask the remote where the run is: its folder may have another name now, and another run may have its name."""
        record = run.read_engine()
        assert record
        if not record.folder:
            raise BadInput(
                f"{run.name} is not on {record.host} yet: a program sends it.",
                "Wait until it is there, or end that program: Ctrl-C.",
            )
        app = RemoteApp(find_remote(record.host))
        try:
            return cls(run, app, find_sent_run(app.connection, app.remote.root, record.folder, run))
        except ConfigError as error:
            raise explain_config_error(run, error) from None

    def call(self, command: str, *options: str) -> Any:
        """Run a command of the remote's own app for the run. Installs the app of this version before, if need be."""
        if not self.folder:
            name = self.app.remote.name
            raise BadInput(f"The run's folder is gone on {name}.", "Delete what is here: codex-tui runs rm RUN --here")
        self.app.ensure()
        name, folders = posixpath.basename(self.folder), (self.folder, self.run.path)
        return self.app.call(*command.split(), name, "--json", *options, folders=folders)


def _begin(place: _Place, record: EngineRecord, options: list[str]) -> int:
    """Start the next attempt over there, and return its number. Only what the app over there says about a mistake
    proves that nothing has begun: it may also be killed after it has started the run."""
    try:
        return int(place.call("resume", *options)[0]["attempt"])
    except (Unreachable, RemoteFailed, NoJson) as error:
        reason = f"{error.message} The run may have begun there."
        record = msgspec.structs.replace(record, status="unreachable", reason=reason)
        raise MayHaveBegun(reason, f"See what came of it: codex-tui attach {place.run.name}", record) from None
    except CodexError:
        if record.attempt == 1:
            with suppress(CodexError):
                place.app.connection.run(["rm", "-rf", "--", place.folder])  # a run that never began is none
        raise


def _name_remote(profile: Profile) -> str:
    return profile.launch.ssh.remote or ""  # the profile was refused without one


@contextmanager
def _hold_mirror(run: RunDirectory) -> Iterator[None]:
    """Hold the mirror's lock, so that no viewer takes a run that is being sent for one that has ended."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        with mirror.hold(run) as held:
            if held:
                yield
                return
        if time.monotonic() > deadline:
            raise CodexError(f"Another program is fetching {run.name}.", "Try it again in a moment.")
        time.sleep(0.1)


def _list_options(start: Start) -> list[str]:
    options = ["--exact", "--queue" if start.wait else "--now"]
    if start.from_start:
        options.append("--from-start")
    if start.until is not None and start.attempt > 1:  # the first start has it in config.json
        # As a span, because the clock over there may be another one.
        hours = max(0.0, (start.until - time.time()) / 3600)
        options.append("--until=never" if math.isinf(start.until) else f"--until=+{hours:.4f}h")
    return options
