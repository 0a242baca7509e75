"""A disk that is full for the trainer and the chat: what was whole stays whole, and a cache is never needed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.disks import fill, mounted
from support.progress_lines import without_progress
from support.training_runs import Talk, Trainer, demo_profile, events

from codex_tui.cli import main
from codex_tui.environment import build
from training.contract.run_directory import RunDirectory

ROOM_FOR_THE_REST = 320 << 10  # bytes: of the events, the log and what is kept for the last event


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=60m") as folder:
        yield folder


@pytest.fixture(scope="module")
def trained(trainer: Trainer) -> RunDirectory:
    """A run of two steps with a checkpoint of each, to be copied to a disk."""
    run = trainer.run("run", profile(max_steps=2, patience=3))
    assert trainer.train(run) == 0, run.log.read_text()
    return run


@pytest.fixture
def run(trained: RunDirectory, disk: Path) -> RunDirectory:
    """A copy of the trained run on the disk. The cache is elsewhere, because `trainer` trains it."""
    return RunDirectory(shutil.copytree(trained.path, disk / "run"))


def profile(*, patience: int = 0, **training: Any) -> Any:
    return demo_profile(
        training=training,
        checkpoints={"save_steps": 1 if patience else 100, "save_total_limit": 20},
        evaluation={"eval_steps": 1, "patience": patience} if patience else {},
    )


def goes_on(run: RunDirectory, **training: Any) -> None:
    """As by a profile that was changed meanwhile."""
    write_config(run, read_config(run) | {"profile": profile(**training).model_dump()})


def size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_adapter_at_the_end(trainer: Trainer, run: RunDirectory, disk: Path) -> None:
    old = digests(run.adapter)
    checkpoint, adapter = size(run.checkpoints / "checkpoint-2"), size(run.adapter)
    goes_on(run, max_steps=3, patience=3)
    filler = fill(disk, but=checkpoint + adapter // 2 + ROOM_FOR_THE_REST)
    assert trainer.train(run) == 1
    failed = events(run)[-1]
    assert (failed["type"], failed["kind"], failed["step"]) == ("failed", "disk_full", 3), failed
    assert failed["message"] == f"The disk is full: {run.adapter} can't be written."
    assert "Free some space" in failed["hint"] and "resume" in failed["hint"]
    assert digests(run.adapter) == old
    assert not list(run.path.glob(".adapter-*"))
    filler.unlink()
    assert trainer.train(run) == 0, run.log.read_text()
    assert events(run, "started")[-1]["resume_step"] == 3
    assert (events(run)[-1]["type"], events(run)[-1]["step"]) == ("done", 3)  # the run has all its steps already
    assert digests(run.adapter).keys() == old.keys()


def test_the_adapter_on_a_stop(trainer: Trainer, disk: Path) -> None:
    run = Trainer(trainer.python, disk).run("run", profile(max_steps=2))
    assert trainer.train(run) == 0, run.log.read_text()
    old = digests(run.adapter)
    checkpoint, adapter = size(run.checkpoints / "checkpoint-2"), size(run.adapter)
    goes_on(run, max_steps=5000)
    fill(disk, but=checkpoint + adapter // 2 + ROOM_FOR_THE_REST)
    assert trainer.stop_after_a_step(run) == 1
    failed = events(run)[-1]
    assert (failed["kind"], failed["message"]) == ("disk_full", f"The disk is full: {run.adapter} can't be written.")
    assert digests(run.adapter) == old
    assert (run.checkpoints / f"checkpoint-{failed['step']}").is_dir()


def test_a_checkpoint_is_named(trainer: Trainer, disk: Path) -> None:
    run = Trainer(trainer.python, disk).run("run", profile(max_steps=2))
    fill(disk, but=ROOM_FOR_THE_REST)
    assert trainer.train(run) == 1
    place = run.checkpoints / "checkpoint-2"
    assert events(run)[-1]["message"] == f"The disk is full: {place} can't be written."
    assert not run.adapter.exists()
    assert not list(run.checkpoints.iterdir())


def test_the_oldest_makes_room_for_the_newest(trainer: Trainer, run: RunDirectory, disk: Path) -> None:
    """It would have gone next; the last whole one stays until there is another."""
    checkpoint, adapter = size(run.checkpoints / "checkpoint-2"), size(run.adapter)
    longer = demo_profile(training={"max_steps": 3}, checkpoints={"save_steps": 1, "save_total_limit": 2})
    write_config(run, read_config(run) | {"profile": longer.model_dump()})
    fill(disk, but=checkpoint // 2 + adapter + ROOM_FOR_THE_REST)
    assert trainer.train(run) == 0, run.log.read_text()
    assert sorted(path.name for path in run.checkpoints.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]


def test_a_model_that_has_no_place(trainer: Trainer, disk: Path, tmp_path: Path) -> None:
    """A run of its own place, and a cache that is full before the demo model is there."""
    trainer = Trainer(trainer.python, tmp_path, disk)
    run = trainer.run("run", profile(max_steps=2))
    fill(disk)
    assert trainer.train(run) == 1
    failed = events(run)[-1]
    assert (failed["kind"], failed["message"][:60]) == ("disk_full", f"The disk is full: {disk}/demo-llama-"[:60])
    assert [path.name for path in disk.iterdir() if path.name.startswith((".demo", "demo"))] == []


def test_a_full_cache_disturbs_neither_a_run_nor_a_chat(
    trainer: Trainer, disk: Path, tmp_path: Path, talk: Callable[..., Talk]
) -> None:
    trainer = Trainer(trainer.python, tmp_path, disk)
    run = trainer.run("run", profile(max_steps=2))
    filler = fill(disk, but=8 << 20)
    assert trainer.run_program("files", "build_demo_model", str(disk))
    filler.unlink()
    fill(disk)
    assert trainer.train(run) == 0, run.log.read_text()
    assert [event["type"] for event in events(run)][-1] == "done"
    assert not events(run, "warning")
    worker = talk("chat", str(run.path), cache=disk)
    assert worker.until("ready", "error")[-1]["type"] == "ready"
    assert worker.answer("Who?", max_new_tokens=4) is not None


def test_a_copy_of_parquet_is_whole_or_not_there(
    trainer: Trainer, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.parquet"
    source = tmp_path / "rows.json"
    source.write_text(
        json.dumps([{"instruction": "Who?", "response": f"Rook {number}. " * 20} for number in range(5000)])
    )
    trainer.run_program("files", "write_parquet", str(source), str(rows))
    monkeypatch.setenv("CODEX_TUI_HOME", str(disk))
    (disk / "config").mkdir()
    (disk / "config" / "settings.toml").write_text(f'[trainer]\npython = "{trainer.python}"\n')
    build.make_trainer_path()
    filler = fill(disk, but=100_000)
    assert main(["data", "check", str(rows)]) == 1
    told = without_progress(capsys.readouterr().err)
    copies = disk / "cache" / "datasets"
    assert told.startswith(f"codex-tui: {copies}/rows-") and told.count("No space left on device.") == 1
    assert told.endswith("\nFree some space there, then try it again.\n")
    assert list(copies.iterdir()) == []
    filler.unlink()
    assert main(["data", "check", str(rows)]) == 0
