"""What an engine does: it starts a run, says whether it runs, passes requests on, and brings its files here.

`registry.py` beside this file knows all engines. The launcher, the commands, `refresh.py` and `watch.py` call them, and
viewers read RUN/engine.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, ignore_progress

if TYPE_CHECKING:  # the app starts to watch its runs before it needs any of these
    from codex_tui.runs.resume_point import ResumePoint
    from training.contract.control import Request
    from training.contract.engine import EngineRecord
    from training.contract.profile import Profile
    from training.contract.run_directory import RunDirectory


class EngineSilent(CodexError):
    """The engine does not answer, so no run can start there now."""


@dataclass(frozen=True)
class Start:
    """One start of a run: the first one, or a resume. RUN/config.json, profile.toml and book.jsonl are written, and
    RUN/control is empty.

    `interpreter` is None for an engine that shares no folder with this machine. `until` is a new deadline in Unix
    seconds, `math.inf` to lift the old one, None to leave it; config.json has it already. `wait`: take a place in the
    queue of the card instead of the card itself. `from_start`: the person accepts that all checkpoints are damaged.
    `report` gets the progress of slow work, such as sending the dataset.
    """

    attempt: int
    profile: Profile
    interpreter: Path | None = None
    wait: bool = False
    until: float | None = None
    from_start: bool = False
    report: OnProgress = ignore_progress


class Engine(Protocol):
    """Every method may take seconds, because it may ask another machine: call it in a thread. All but `look` and
    `fetch` raise BadInput for a mistake of the person, and CodexError for a failure that a second try may mend.
    """

    shares_folder: bool
    """Whether the run directory, the cache and the training environment are the same over there as here. Otherwise
    RUN here is a mirror, which `fetch` fills."""

    def check(self, profile: Profile) -> None:
        """Raise BadInput if this engine can't run `profile`, before anything is built or written: its program or the
        remote is missing. Raise EngineSilent if a quick question has no answer."""

    def find_resume_point(self, run: RunDirectory, *, from_start: bool) -> ResumePoint:
        """Find the step from which a resume continues. Raises NoWholeCheckpoint as `runs.resume_point` does."""

    def start(self, run: RunDirectory, start: Start) -> None:
        """Start the next attempt, and return when the engine has it; it need not run yet.

        An engine other than the local one writes RUN/engine.json twice: before it asks for anything (status
        "waiting", `submitted`, `offset`, `attempt`), and with the job. `handover.py` says what it has after an error.
        """

    def look(self, run: RunDirectory) -> EngineRecord:
        """Ask where the run is now, and return its record with a new `status`, `reason`, `seen` and `since`. Writes
        nothing. Never raises: if the engine does not answer within 10 seconds, `status` is "unreachable", `reason` says
        why in one sentence, and `seen` stays.

        "gone" promises that all events of the run are in RUN/events.jsonl. Call `fetch` before if RUN is a mirror.
        """

    def ask(self, run: RunDirectory, request: Request) -> None:
        """Pass a request on, so that the run's keeper and trainer get it soon: save, terminate, park or resume.

        Afterwards RUN/control here has the request until it is obeyed, if it is one to stop: viewers and the next
        stop read it there. Raises CodexError if it did not arrive.
        """

    def kill(self, run: RunDirectory) -> None:
        """End all processes of the run at once. Nothing is saved. Raises as `ask` does."""

    def delete(self, run: RunDirectory) -> None:
        """Delete the files of an ended run over there, if RUN is a mirror. Raises as `ask` does."""

    def fetch(self, run: RunDirectory) -> bool:
        """Bring new files of the run into RUN, if RUN is a mirror. Returns whether any came. Never raises for a cut
        link. Only one process at a time does it for one run; another returns False at once."""

    def follow(self, run: RunDirectory, is_wanted: Callable[[], bool]) -> None:
        """Bring new files as they are written, if RUN is a mirror. Returns when the run has ended, when the link is
        cut, when `is_wanted` says no, or at once if another process does it. It is called again a moment later."""


class SharedFolder:
    """The part of an engine whose machines share the run directory, the cache and the training environment with this
    one."""

    shares_folder = True

    def find_resume_point(self, run: RunDirectory, *, from_start: bool) -> ResumePoint:
        from codex_tui.runs.resume_point import find_resume_point

        return find_resume_point(run, from_start=from_start)

    def delete(self, run: RunDirectory) -> None:
        pass

    def fetch(self, run: RunDirectory) -> bool:  # noqa: ARG002  everything is here
        return False

    def follow(self, run: RunDirectory, is_wanted: Callable[[], bool]) -> None:
        pass
