"""An engine that tests control: it answers what RUN/engine.json says already, and notes what it is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from codex_tui.engines.engine import Start
from codex_tui.runs.resume_point import ResumePoint
from support.fake_runs import make_run
from training.contract import events as ev
from training.contract.control import Request
from training.contract.engine import EngineRecord, EngineStatus
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory


class FakeEngine:
    """`asked` has the names of all runs with the words of the requests. `use_fake_engine` empties it."""

    shares_folder = False
    asked: list[tuple[str, str]] = []
    answers: dict[str, EngineRecord] = {}

    def check(self, profile: Profile) -> None:
        pass

    def find_resume_point(self, run: RunDirectory, *, from_start: bool) -> ResumePoint:
        return ResumePoint(0)

    def start(self, run: RunDirectory, start: Start) -> None:
        offset = run.events.stat().st_size if run.events.exists() else 0
        now = time.time()
        run.write_engine(
            EngineRecord("ssh", host="box", submitted=now, offset=offset, attempt=start.attempt, seen=now, since=now)
        )
        self.asked.append((run.name, "start"))

    def look(self, run: RunDirectory) -> EngineRecord:
        record = self.answers.get(run.name) or run.read_engine()
        assert record
        return record

    def ask(self, run: RunDirectory, request: Request) -> None:
        run.write_request(request)
        self.asked.append((run.name, request.word))

    def kill(self, run: RunDirectory) -> None:
        self.asked.append((run.name, "kill"))

    def delete(self, run: RunDirectory) -> None:
        self.asked.append((run.name, "delete"))

    def fetch(self, run: RunDirectory) -> bool:
        return False

    def follow(self, run: RunDirectory, is_wanted: Callable[[], bool]) -> None:
        self.asked.append((run.name, "follow"))


def use_fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake engine take the place of ssh and slurm."""
    monkeypatch.setattr("codex_tui.engines.ssh.engine.SshEngine", FakeEngine)
    monkeypatch.setattr("codex_tui.engines.slurm.engine.SlurmEngine", FakeEngine)
    FakeEngine.asked.clear()
    FakeEngine.answers.clear()


def send(name: str, *, status: EngineStatus = "running") -> RunDirectory:
    """A run that box trains."""
    run = make_run(name, ev.Started(attempt=1, pid=7))
    run.write_engine(EngineRecord("ssh", host="box", status=status, submitted=1.0, seen=1.0, since=1.0))
    return run


def answer(run: RunDirectory, **changes: object) -> EngineRecord:
    """Let the engine answer with these changes of what is known."""
    record = run.read_engine()
    assert record
    FakeEngine.answers[run.name] = msgspec.structs.replace(record, **changes)
    return FakeEngine.answers[run.name]
