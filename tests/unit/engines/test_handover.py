"""engine.json and the request after a start: an error that proves that nothing began puts both back as they were."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from support.config_file import write_config
from support.fake_interpreter import idle_interpreter, name_in_settings
from support.fake_runs import make_run
from support.training_runs import demo_profile

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.cli import main
from codex_tui.engines.engine import Start
from codex_tui.engines.handover import MayHaveBegun, hand_over, set_request_aside
from codex_tui.engines.slurm import engine as slurm
from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.engine import EngineRecord
from training.contract.process import Exit
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")

OLD = EngineRecord("slurm", job="4711", status="gone", attempt=1)
NEW = EngineRecord("slurm", attempt=2)


@pytest.mark.parametrize("old", [OLD, None])
@pytest.mark.parametrize("error", [BadInput("refused"), CodexError("no answer"), OSError("full"), ValueError("ours")])
def test_after_an_error_the_file_is_as_it_was(old: EngineRecord | None, error: Exception) -> None:
    run = make_run("a")
    if old:
        run.write_engine(old)
    with pytest.raises(type(error)), hand_over(run, NEW):
        assert run.read_engine() == NEW
        run.write_engine(msgspec.structs.replace(NEW, folder="/there"))
        raise error
    assert run.read_engine() == old and run.engine.exists() == bool(old)


@pytest.mark.parametrize("error", [MayHaveBegun("no answer", "Look."), KeyboardInterrupt(), SystemExit()])
def test_where_nobody_knows_what_came_of_it_the_last_record_stays(error: BaseException) -> None:
    run = make_run("a")
    run.write_engine(OLD)
    sent = msgspec.structs.replace(NEW, folder="/there")
    with pytest.raises(type(error)), hand_over(run, NEW):
        run.write_engine(sent)
        raise error
    assert run.read_engine() == sent


@pytest.mark.parametrize("is_full", [True, False])
def test_what_is_known_of_a_run_that_may_have_begun_is_written_if_there_is_room(
    monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    run = make_run("a")
    run.write_engine(OLD)
    known = msgspec.structs.replace(NEW, status="unreachable", reason="cut")
    write = RunDirectory.write_engine

    def fail(self: RunDirectory, record: EngineRecord) -> None:
        if is_full and record != NEW:
            raise OSError(28, "No space left on device")
        write(self, record)

    monkeypatch.setattr(RunDirectory, "write_engine", fail)
    with pytest.raises(MayHaveBegun), hand_over(run, NEW):
        raise MayHaveBegun("cut", "Look.", known)
    assert run.read_engine() == (NEW if is_full else known)


def test_a_resume_that_can_not_start_forgets_no_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Phase(name="training"), ev.Metrics(step=7, loss=2.0))
    write_config(run, {"name": "a", "profile": demo_profile().model_dump(mode="json")})
    run.write_exit(Exit(os.getpid(), signal="SIGTERM"))
    run.request_stop("terminate")
    name_in_settings(idle_interpreter(tmp_path, 60))
    run.keeper.mkdir()  # so that nobody could find the keeper
    assert main(["resume", "a", "--headless"]) == 1
    assert f"{run.keeper}: Is a directory" in capsys.readouterr().err
    assert snapshot(run).reason == "Killed on request at step 7."


@pytest.mark.parametrize("error", [MayHaveBegun("no answer", "Look."), OSError("full"), KeyboardInterrupt()])
def test_a_run_that_may_have_begun_gets_no_older_request(error: BaseException) -> None:
    run = make_run("a")
    run.request_stop("save")
    with pytest.raises(type(error)), set_request_aside(run):
        assert run.read_request() is None
        with hand_over(run, NEW):
            if isinstance(error, MayHaveBegun):
                raise error
        raise error
    assert run.read_request() is None


def test_a_request_that_comes_while_the_run_starts_is_the_one_that_counts() -> None:
    run = make_run("a")
    run.request_stop("save")
    with pytest.raises(BadInput), set_request_aside(run):
        run.request_stop("terminate")
        raise BadInput("refused")
    assert run.read_stop_request() == "terminate"


def use_sbatch(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "sbatch"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def submit(run: RunDirectory) -> None:
    slurm.SlurmEngine().start(run, Start(2, Profile.model_validate({"model": {"name": "m"}}), Path("/bin/true")))


@pytest.mark.parametrize(
    ("script", "message", "stays"),
    [
        ("echo 'sbatch: error: invalid partition' >&2; exit 1", "Slurm refuses the job: invalid partition", False),
        ("echo 'sbatch: error: Unable to contact slurm controller' >&2; exit 1", "Slurm does not answer", False),
        ("echo 'sbatch: error: Socket timed out' >&2; exit 1", "It may have the job", True),
        ("echo welcome", "sbatch printed no job id", True),
    ],
)
def test_a_job_that_slurm_may_have_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str, stays: bool
) -> None:
    use_sbatch(tmp_path, monkeypatch, script)
    run = make_run("a")
    run.write_engine(OLD)
    with pytest.raises(CodexError, match=message):
        submit(run)
    record = run.read_engine()
    assert record and ((record.attempt, record.job) == (2, "") if stays else record == OLD)
    assert not stays or abs(time.time() - record.submitted) < 60


def test_a_job_whose_id_cant_be_written_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_sbatch(tmp_path, monkeypatch, "echo 12")
    run = make_run("a")
    write = RunDirectory.write_engine

    def fail(self: RunDirectory, record: EngineRecord) -> None:
        if record.job:
            raise OSError(28, "No space left on device")
        write(self, record)

    monkeypatch.setattr(RunDirectory, "write_engine", fail)
    with pytest.raises(OSError, match="No space left"):
        submit(run)
    assert (record := run.read_engine()) and (record.attempt, record.status) == (2, "waiting")
