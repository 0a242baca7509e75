"""Tests how the end of a lost run is explained, and which checkpoints and adapters are found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import as_json, make_run

from codex_tui import launcher
from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.runs import changes, follower, library, outcome
from codex_tui.runs.follower import RunFollower, snapshot
from codex_tui.runs.watched import Leftovers
from training.contract import events as ev
from training.contract.process import Exit, ProcessIdentity
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")

STARTED, TRAINING = ev.Started(attempt=1, pid=1), ev.Phase(name="training")


def trained(name: str = "a", step: int = 1167) -> RunDirectory:
    return make_run(name, STARTED, TRAINING, ev.Metrics(step=step, loss=2.0))


def test_the_three_files_make_a_run() -> None:
    run = trained()
    for path in (run.config, run.process):
        path.unlink()
        assert library.find_run("a").path == run.path
    run.events.unlink()
    assert library.list_run_directories() == []


def test_a_held_run_was_lost_with_its_keeper_or_with_the_machine() -> None:
    held = ev.Held(state="parked", reason="You lent the card.", step=1_200)
    run = make_run("a", STARTED, held)
    assert snapshot(run).reason == "It was parked at step 1,200, and its keeper is gone."
    run.write_keeper(ProcessIdentity(os.getpid(), 1.0, boot="another"))
    os.utime(run.events)  # later than keeper.json
    restarted = "The machine was restarted (or WSL2 shut down) while the run was parked at step 1,200."
    assert snapshot(run).reason == restarted


def test_a_name_is_taken_by_any_folder() -> None:
    run = trained()
    run.config.unlink()
    with pytest.raises(BadInput, match="codex-tui resume a"):
        changes.check_name("a")
    run.process.unlink()
    run.events.unlink()
    with pytest.raises(BadInput, match="is there already, and is no run"):
        changes.check_name("a")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (Exit(1, signal="SIGKILL"), "Killed at step 1,167 by SIGKILL; memory had not run out."),
        (Exit(1, signal="SIGKILL", for_memory=True), "Killed at step 1,167 by the kernel: memory had run out."),
        (Exit(1, signal="SIGTERM"), "Killed at step 1,167 by SIGTERM."),
        (Exit(1, signal="SIGSEGV"), "Crashed at step 1,167 inside a library or the driver (SIGSEGV)."),
        (Exit(1, code=3), "The trainer ended with exit code 3 at step 1,167 without a message."),
    ],
)
def test_how_it_ended_is_one_short_sentence(how: Exit, reason: str) -> None:
    run = trained()
    how.pid = os.getpid()
    run.write_exit(how)
    assert snapshot(run).reason == reason


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_a_requested_kill_is_called_so(signal: str) -> None:
    run = trained()
    run.write_exit(Exit(os.getpid(), signal=signal))
    run.request_stop("save")
    assert "on request" not in snapshot(run).reason
    run.request_stop("terminate")
    assert snapshot(run).reason == "Killed on request at step 1,167."


def test_before_the_first_step_the_phase_is_named() -> None:
    run = make_run("a", STARTED, ev.Phase(name="loading"))
    run.write_exit(Exit(os.getpid(), signal="SIGKILL", for_memory=True))
    assert snapshot(run).reason == "Killed while loading by the kernel: memory had run out."


def test_a_reboot_is_recognised() -> None:
    run = trained()
    run.write_process(ProcessIdentity(os.getpid(), 1.0, boot="of another time"))
    assert snapshot(run).reason == "The machine was restarted (or WSL2 shut down) after step 1,167."
    run.write_process(ProcessIdentity(os.getpid(), 1.0, boot=ProcessIdentity.current().boot))
    assert snapshot(run).reason == "The trainer ended at step 1,167 without a message; the cause is unknown."


def test_missing_events_are_named_if_the_run_has_trained() -> None:
    run = trained()
    run.log.write_text("Unsloth: all is well.\n")
    run.events.unlink()
    assert snapshot(run).reason == "The trainer ended at startup; its log ends with: Unsloth: all is well."
    write_checkpoint(run.checkpoints, 20)
    assert snapshot(run).reason == "events.jsonl is missing, so it is not known how the run ended."


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "is_"),
    [(None, "missing"), (Path.mkdir, "not a file"), (make_fifo, "not a file"), (Path.touch, "damaged")],
)
def test_a_run_without_its_config_is_shown_with_its_checkpoint(
    capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None] | None, is_: str
) -> None:
    run = trained()
    write_checkpoint(run.checkpoints, 1160)
    run.config.unlink()
    if damage:
        damage(run.config)
    assert main(["runs"]) == 0
    left = "the checkpoint at step 1,160 is still there."
    assert f"config.json is {is_}, so resume and chat are not possible; {left}" in capsys.readouterr().out
    assert main(["runs", "--json"]) == 0
    [summary] = as_json(capsys)  # type: ignore[misc]
    assert (summary["state"], summary["resume_step"]) == ("lost", None)
    for command in (["resume", "a", "--headless"], ["chat", "a"], ["chat", "a", "--prompt", "hi"]):
        assert main(command) == 2
        assert f"config.json is {is_}; {left}\nStart over from its profile:" in capsys.readouterr().err


def test_a_resume_of_a_deleted_run_says_so() -> None:
    run = trained()
    shutil.rmtree(run.path)
    with pytest.raises(BadInput, match="folder is gone"):
        launcher.resume(run)


def test_leftovers_are_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "CHECK_EVERY", 0.0)
    run = trained()
    write_checkpoint(run.checkpoints, 600)
    reader = RunFollower(run)
    for _ in range(3):
        reader.poll()
    assert (reader.watched.status, reader.watched.leftovers) == ("lost", Leftovers(600, has_adapter=False, broken=""))
    assert not reader.poll()
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").touch()
    assert reader.poll()
    assert reader.watched.leftovers.has_adapter
    (run.checkpoints / "checkpoint-600" / "optimizer.pt").unlink()
    assert reader.poll()
    assert reader.watched.leftovers.resume_step == 0
    run.config.unlink()
    assert reader.poll()
    assert reader.watched.leftovers == Leftovers(
        None,
        has_adapter=True,
        broken="config.json is missing, so resume and chat are not possible; the adapter is still there.",
    )
    shutil.rmtree(run.path)
    assert reader.poll()
    assert reader.watched.leftovers == Leftovers(None, has_adapter=False, broken="The run's folder is gone.")
    assert not reader.poll()


def test_the_first_look_finds_what_happened() -> None:
    reader = RunFollower(trained())
    assert reader.poll()
    assert (reader.watched.status, reader.watched.leftovers.resume_step) == ("lost", 0)


def test_a_live_run_whose_folder_is_deleted_is_lost_for_that_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "CHECK_EVERY", 0.0)
    run = make_run("a", STARTED, TRAINING, ev.Metrics(step=3, loss=1.0), alive=True)
    reader = RunFollower(run)
    reader.poll()
    shutil.rmtree(run.path)
    assert reader.poll()
    assert (reader.watched.status, reader.watched.reason) == ("lost", outcome.FOLDER_GONE)


@pytest.mark.parametrize(
    ("last", "ended"),
    [(ev.Stopped(step=0), "was stopped"), (ev.Failed(kind="unknown", message="x"), "failed"), (TRAINING, "was lost")],
)
def test_a_chat_waits_for_no_checkpoint_that_will_never_come(
    capsys: pytest.CaptureFixture[str], last: ev.Event, ended: str
) -> None:
    make_run("a", STARTED, last)
    assert main(["chat", "a", "--prompt", "hi"]) == 2
    message = capsys.readouterr().err
    assert f"a has no adapter and no whole checkpoint, and will get none: it {ended}.\n" in message
    assert "Train it again: codex-tui resume a\nOr ask the base model: codex-tui chat a --base" in message


def test_a_chat_with_a_run_that_trains_waits(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", STARTED, TRAINING, alive=True)
    assert main(["chat", "a", "--prompt", "hi"]) == 2
    assert "a trains, and no second model is loaded beside it.\nAdd --in-trainer" in capsys.readouterr().err


def test_a_viewer_of_a_run_without_its_config_does_not_offer_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    trained().config.unlink()
    assert main(["attach", "a", "--headless"]) == 1
    out = capsys.readouterr().out
    assert "config.json is missing" in out
    assert "codex-tui resume" not in out
