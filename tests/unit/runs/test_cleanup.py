"""Tests which checkpoints of a run no one needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import make_run

from codex_tui.base.errors import BadInput
from codex_tui.runs.cleanup import delete_unneeded, find_unneeded
from codex_tui.runs.summary import measure_folder, summarise
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")

STARTED, DONE, STOPPED = ev.Started(attempt=1, pid=1), ev.Done(step=30), ev.Stopped(step=30)
BEST_IS_20 = [ev.Eval(step=10, eval_loss=0.9), ev.Eval(step=20, eval_loss=0.5), ev.Eval(step=30, eval_loss=0.7)]


def make_trained(*events: ev.Event, adapter: bool = True, alive: bool = False) -> RunDirectory:
    run = make_run("a", STARTED, *events, alive=alive)
    for step in (10, 20, 30):
        checkpoint = write_checkpoint(run.checkpoints, step)
    if adapter:
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
        weights = (checkpoint / "adapter_model.safetensors").read_bytes()
        (run.adapter / "adapter_model.safetensors").write_bytes(weights)
    return run


def list_unneeded(run: RunDirectory) -> list[str]:
    return [path.name for path in find_unneeded(run, summarise(run)).folders]


def test_a_done_run_needs_only_the_best_checkpoint() -> None:
    run = make_trained(*BEST_IS_20, DONE)
    unneeded = find_unneeded(run, summarise(run))
    assert [path.name for path in unneeded.folders] == ["checkpoint-10", "checkpoint-30"]
    assert unneeded.kept == ((20, "the best evaluation"),)
    assert unneeded.size == sum(measure_folder(path) for path in unneeded.folders)
    before = measure_folder(run.path)
    assert delete_unneeded(run, summarise) == unneeded
    assert [path.name for path in run.checkpoints.iterdir()] == ["checkpoint-20"]
    assert before - measure_folder(run.path) >= unneeded.size
    assert list_unneeded(run) == []


def test_a_done_run_whose_last_step_is_the_best_needs_none() -> None:
    assert list_unneeded(make_trained(*BEST_IS_20[:1], ev.Eval(step=30, eval_loss=0.1), DONE)) == [
        "checkpoint-10",
        "checkpoint-20",
        "checkpoint-30",
    ]


def test_a_stopped_run_keeps_the_checkpoint_of_its_resume() -> None:
    run = make_trained(*BEST_IS_20, STOPPED)
    unneeded = find_unneeded(run, summarise(run))
    assert [path.name for path in unneeded.folders] == ["checkpoint-10"]
    assert dict(unneeded.kept) == {30: "a resume continues from it", 20: "the best evaluation"}
    assert "checkpoint-10; keeps step 30 (a resume continues from it)" in unneeded.describe()


def test_a_damaged_checkpoint_is_not_taken_for_the_last_whole_one() -> None:
    run = make_trained(STOPPED)
    weights = run.checkpoints / "checkpoint-30" / "optimizer.pt"
    data = bytearray(weights.read_bytes())
    data[60] ^= 0xFF  # only its checksum tells
    weights.write_bytes(data)
    assert list_unneeded(run) == ["checkpoint-10", "checkpoint-30"]


@pytest.mark.parametrize("end", [DONE, STOPPED])
def test_without_an_adapter_the_newest_whole_checkpoint_stays(end: ev.Event) -> None:
    assert list_unneeded(make_trained(end, adapter=False)) == ["checkpoint-10", "checkpoint-20"]


def test_without_a_whole_checkpoint_and_an_adapter_all_stay() -> None:
    run = make_trained(STOPPED, adapter=False)
    for step in (10, 20, 30):
        (run.checkpoints / f"checkpoint-{step}" / "optimizer.pt").write_bytes(b"")
    assert list_unneeded(run) == []


def test_a_damaged_adapter_is_no_reason_to_delete_the_last_checkpoint() -> None:
    run = make_trained(DONE)
    os.truncate(run.adapter / "adapter_model.safetensors", 5)
    assert list_unneeded(run) == ["checkpoint-10", "checkpoint-20"]


def test_what_the_trainer_set_aside_goes_too() -> None:
    run = make_trained(STOPPED)
    for name in ("broken-checkpoint-5", "earlier-checkpoint-30", ".old-checkpoint-1", ".unfinished", "mine"):
        (run.checkpoints / name).mkdir()
    assert list_unneeded(run) == [
        "checkpoint-10", "checkpoint-20", ".old-checkpoint-1", ".unfinished", "broken-checkpoint-5",
        "earlier-checkpoint-30",
    ]  # fmt: skip


def test_a_live_run_is_left_alone() -> None:
    run = make_trained(alive=True)
    assert list_unneeded(run) == []
    with pytest.raises(BadInput, match="is training"):
        delete_unneeded(run, summarise)


def test_checkpoints_that_are_links_are_left_alone(tmp_path: Path) -> None:
    run = make_trained(DONE)
    outside = run.checkpoints.rename(tmp_path / "outside")
    run.checkpoints.symlink_to(outside)
    assert list_unneeded(run) == []
    run.checkpoints.unlink()
    run.checkpoints.mkdir()
    (run.checkpoints / "checkpoint-10").symlink_to(outside / "checkpoint-10")
    delete_unneeded(run, summarise)
    assert sorted(path.name for path in outside.iterdir()) == ["checkpoint-10", "checkpoint-20", "checkpoint-30"]
