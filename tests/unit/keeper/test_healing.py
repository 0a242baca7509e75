"""The keeper heals a run: after an attempt that found no memory, and after one that hung."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.programs import PROGRAMS

from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.process import Exit
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.history.tailer import Tailer
from training.keeper.decisions import AttemptEnd
from training.keeper.healing import HANGS_AGAIN, Healer, HealRules
from training.keeper.watchers import Restart

MODEL = "unsloth/Llama-3.2-3B-Instruct-bnb-4bit"


def make_run(folder: Path, words: str = "", **keeper: Any) -> RunDirectory:
    run = RunDirectory(folder / "run")
    run.create()
    run.profile.write_text(words)
    profile = Profile.model_validate({"model": {"name": MODEL}, "hardware": {"device": "cpu"}, "keeper": keeper})
    write_config(run, {"profile": profile.model_dump(mode="json")})
    return run


def keep(run: RunDirectory) -> tuple[int, list[str]]:
    """Keep the run until it ends. Returns the exit code and what the log has."""
    done = subprocess.run(
        [sys.executable, PROGRAMS / "failing_trainer.py", run.path], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr.split("\n\n")


def read_events(run: RunDirectory, *kinds: type[ev.Event]) -> list[Any]:
    events = [event for part in Tailer(run.events).slices() for event in part.events]
    return [event for event in events if isinstance(event, kinds)]


def test_a_run_without_memory_continues_with_less(tmp_path: Path) -> None:
    run = make_run(tmp_path, "memory done")
    profile = read_config(run)["profile"]
    code, log = keep(run)
    assert code == 0
    told = read_events(run, ev.Started, ev.Failed, ev.Held, ev.Healed, ev.Done)
    assert [type(event) for event in told] == [ev.Started, ev.Failed, ev.Held, ev.Healed, ev.Started, ev.Done]
    [_, failed, held, healed, started, _] = told
    assert (held.state, held.reason, held.step) == ("healing", failed.message, 10)
    assert held.ends == "The run continues from step 10."
    assert healed.reason == "GPU memory ran out in step 13, at line 812 of rows.jsonl with 2,048 tokens."
    assert (healed.step, healed.failed_step, started.resume_step) == (10, 13, 10)
    [(field, (before, after))] = healed.changes.items()
    assert (field, before) == ("model.offload_layers", 0)
    config = read_config(run)
    assert config["healed"] == {field: after}
    assert config["profile"] == profile
    assert f"{healed.reason} model.offload_layers = {after}" in "".join(log)
    watched = snapshot(run)
    assert watched.status == "done" and len(watched.state.healed) == 1 and not run.keeper.exists()


def test_at_most_so_many_heals_then_the_remedies_that_change_learning_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, "memory", max_heals=2)
    code, _ = keep(run)
    assert code == 1
    layers = [event.changes["model.offload_layers"] for event in read_events(run, ev.Healed)]
    assert len(layers) == 2
    assert layers[0][0] == 0 < layers[0][1] == layers[1][0] < layers[1][1]  # each frees more than the one before
    watched = snapshot(run)
    assert watched.status == "failed" and watched.liveness == "ended"
    assert watched.state.failure is not None
    assert watched.state.failure.hint.startswith("The run was healed 2 times already (keeper.max_heals). Set one of: ")


@pytest.mark.parametrize("keeper", [{"on_gpu_memory": "fail"}, {"max_heals": 0}])
def test_where_the_profile_asks_for_it_the_run_fails_at_once(tmp_path: Path, keeper: dict[str, Any]) -> None:
    run = make_run(tmp_path, "memory done", **keeper)
    code, _ = keep(run)
    assert code == 1
    assert [type(event) for event in read_events(run, ev.Started, ev.Failed, ev.Held, ev.Healed)] == [
        ev.Started,
        ev.Failed,
    ]


def test_a_run_that_hangs_continues_from_its_checkpoint(tmp_path: Path) -> None:
    run = make_run(tmp_path, "hang done")
    code, _ = keep(run)
    assert code == 0
    [held] = read_events(run, ev.Held)
    [healed] = read_events(run, ev.Healed)
    assert (held.state, healed.kind, healed.step, healed.failed_step) == ("healing", "hang", 10, 13)
    assert healed.reason == held.reason
    assert healed.reason.startswith("No step for ") and healed.reason.endswith("s is usual; the process was idle.")
    assert not healed.changes and "healed" not in read_config(run)
    assert snapshot(run).status == "done"


def test_hangs_in_a_row_at_one_step_end_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    healer = Healer(HealRules(max_heals=2))
    end = AttemptEnd(1, None, Exit(1, None, "SIGKILL"), None, Restart("No step for 6 min."))
    told: list[ev.Healed | ev.Failed] = []
    for step in (7, 7, 9, 9, 9):
        with run.events.open("a") as file:
            file.write(f'{{"type":"heartbeat","step":{step}}}\n')
        told.append(healer.heal(run, end))
    assert [type(event) for event in told] == [*[ev.Healed] * 4, ev.Failed]
    failed = told[-1]
    assert isinstance(failed, ev.Failed) and failed.hint == HANGS_AGAIN
    assert failed.message == "No step for 6 min. It hung 3 times in a row after step 9."


def test_a_run_whose_driver_was_lost_continues_as_often_as_the_profile_allows(tmp_path: Path) -> None:
    run = make_run(tmp_path, "lost done")
    code, _ = keep(run)
    assert code == 0
    [healed] = read_events(run, ev.Healed)
    assert (healed.kind, healed.step, healed.failed_step, healed.changes) == ("driver", 10, 13, {})
    assert healed.reason == "The GPU or its driver stopped answering."
    never = make_run(tmp_path / "never", "lost done", max_heals=0)
    assert keep(never)[0] == 1
    assert snapshot(never).status == "failed" and not read_events(never, ev.Healed)
    healer = Healer(HealRules(max_heals=1))
    end = AttemptEnd(
        1, ev.Failed(kind="driver_lost", message="It stopped answering.", hint="Restart it.", step=12), Exit(1, 1)
    )
    assert isinstance(healer.heal(never, end), ev.Healed)
    last = healer.heal(never, end)
    assert isinstance(last, ev.Failed) and (last.kind, last.hint) == ("driver_lost", "Restart it.")
    assert last.message == "It stopped answering. That happened 2 times in a row after step 12."


def test_a_choice_that_fails_leaves_the_failure_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    failure = ev.Failed(kind="gpu_memory", message="m", hint="h", memory=ev.OutOfMemory(task="training"))
    end = AttemptEnd(1, failure, Exit(1, 1))
    for command in (["/nowhere/python"], [sys.executable, "-c", "print('{')"], [sys.executable, "-c", "exit(1)"]):
        assert Healer(HealRules(), command).heal(run, end) == failure
    assert "No remedy was chosen: " in capsys.readouterr().err
