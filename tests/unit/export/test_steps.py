from __future__ import annotations

import asyncio
import json
import shutil
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.export import steps as steps_module
from codex_tui.export.records import read_record
from codex_tui.export.steps import PARTIAL, WORK, Step, run_steps


@dataclass
class Kitchen:
    """Makes steps that write a file, and remembers which of them ran."""

    out: Path
    ran: list[str] = field(default_factory=list)
    fails: str = ""

    def make(self, name: str, depends_on: Any = 1, needs: tuple[str, ...] = (), **options: Any) -> Step:
        async def work(folder: Path, _report: OnProgress) -> dict[str, Any]:
            assert not list(folder.iterdir())
            self.ran.append(name)
            (folder / f"{name}.bin").write_text(f"{name} of {depends_on}")
            if self.fails == name:
                raise CodexError("it failed")
            return {"from": depends_on}

        return Step(name, depends_on, work, needs=needs, **options)

    def run(self, *steps: Step) -> list[str]:
        """Run the steps; return the names of those that were not finished."""
        self.ran.clear()
        asyncio.run(run_steps(self.out, "run-1", "gguf", steps, ignore_progress))
        return list(self.ran)

    def chain(self, adapter: int = 1, base: int = 1) -> list[Step]:
        return [
            self.make("merge", [adapter, base], intermediate=True),
            self.make("f16", needs=("merge",), intermediate=True),
            self.make("q8", needs=("f16",)),
            self.make("q4", needs=("f16",)),
            self.make("proof", needs=("q4",)),
        ]


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path / "exports" / "gguf")


def list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_export_does_nothing_again(kitchen: Kitchen) -> None:
    assert kitchen.run(*kitchen.chain()) == ["merge", "f16", "q8", "q4", "proof"]
    assert list_files(kitchen.out) == {"export.json", "q8.bin", "q4.bin", "proof.bin"}
    assert kitchen.run(*kitchen.chain()) == []
    record = read_record(kitchen.out)
    assert record is not None
    assert set(record.steps) == {"q8", "q4", "proof"}


def test_it_goes_on_after_the_last_finished_step(kitchen: Kitchen) -> None:
    kitchen.fails = "q4"
    with pytest.raises(CodexError, match="it failed"):
        kitchen.run(*kitchen.chain())
    assert list_files(kitchen.out) == {"export.json", "q8.bin", f"{WORK}/merge/merge.bin", f"{WORK}/f16/f16.bin"}
    kitchen.fails = ""
    assert kitchen.run(*kitchen.chain()) == ["q4", "proof"]


def test_a_change_runs_what_depends_on_it(kitchen: Kitchen) -> None:
    kitchen.run(*kitchen.chain())
    assert kitchen.run(*kitchen.chain(adapter=2)) == ["merge", "f16", "q8", "q4", "proof"]
    steps = kitchen.chain(adapter=2)
    assert kitchen.run(*steps[:-1], kitchen.make("proof", "other questions", needs=("q4",))) == ["proof"]


@pytest.mark.parametrize("damage", ["gone", "longer", "changed"])
def test_a_file_that_changed_is_made_again(kitchen: Kitchen, damage: str) -> None:
    kitchen.run(*kitchen.chain())
    path = kitchen.out / "q4.bin"
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("q4 of 1 and more" if damage == "longer" else "Q4 of 1")
    assert kitchen.run(*kitchen.chain()) == ["merge", "f16", "q4"]
    path.touch()
    assert kitchen.run(*kitchen.chain()) == []


def test_a_file_without_a_record_is_not_a_finished_step(kitchen: Kitchen) -> None:
    kitchen.run(*kitchen.chain())
    record = json.loads((kitchen.out / "export.json").read_text())
    del record["steps"]["q8"]
    (kitchen.out / "export.json").write_text(json.dumps(record))
    assert kitchen.run(*kitchen.chain()) == ["merge", "f16", "q8"]


def test_leftovers_of_a_kill_are_deleted(kitchen: Kitchen) -> None:
    kitchen.run(*kitchen.chain())
    leftover = kitchen.out / f"{PARTIAL}q4"
    leftover.mkdir()
    (leftover / "q4.bin").write_text("half")
    kitchen.run(*kitchen.chain())
    assert not leftover.exists()


def test_a_cancelled_step_leaves_nothing_half(kitchen: Kitchen) -> None:
    started = asyncio.Event()

    async def work(folder: Path, _report: OnProgress) -> dict[str, Any]:
        (folder / "half.bin").write_text("half")
        started.set()
        await asyncio.Event().wait()
        return {}

    async def cancel() -> None:
        task = asyncio.create_task(run_steps(kitchen.out, "run-1", "merged", [Step("slow", 1, work)], ignore_progress))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert list_files(kitchen.out) == set()


def test_the_space_is_checked_first(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = types.SimpleNamespace(free=6_000_000_000)
    monkeypatch.setattr(steps_module.shutil, "disk_usage", lambda _: usage)
    merge = kitchen.make("merge", bytes_needed=4_000_000_000)
    with pytest.raises(CodexError) as raised:
        kitchen.run(merge, kitchen.make("q8", bytes_needed=3_500_000_000))
    assert raised.value.message == (
        f"The export needs 7.5 GB in {kitchen.out} (merge 4.0 GB, q8 3.5 GB), and 6.0 GB is free."
    )
    assert raised.value.hint == "Free 1.5 GB there, or use a folder on another disk: --out FOLDER"
    assert kitchen.ran == []
    assert kitchen.run(merge) == ["merge"]


def test_two_exports_do_not_write_into_one_folder(kitchen: Kitchen) -> None:
    async def work(_folder: Path, _report: OnProgress) -> dict[str, Any]:
        with pytest.raises(BadInput, match="Another export writes to"):
            await run_steps(kitchen.out, "run-1", "merged", [kitchen.make("one")], ignore_progress)
        return {}

    kitchen.run(Step("outer", 1, work))


def test_a_folder_of_something_else_stays_as_it_is(kitchen: Kitchen) -> None:
    kitchen.out.mkdir(parents=True)
    (kitchen.out / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="has files of something else"):
        kitchen.run(*kitchen.chain())
    assert list_files(kitchen.out) == {"thesis.txt"}
    (kitchen.out / "thesis.txt").rename(kitchen.out.parent / "file")
    kitchen.out = kitchen.out.parent / "file"
    with pytest.raises(BadInput, match="is not a folder"):
        kitchen.run(*kitchen.chain())


@pytest.mark.parametrize("name", ["../../outside.txt", "/outside.txt", ""])
def test_a_copied_record_names_no_files_outside(kitchen: Kitchen, name: str) -> None:
    kitchen.run(*kitchen.chain())
    record = json.loads((kitchen.out / "export.json").read_text())
    record["steps"]["q4"]["files"] = {name: record["steps"]["q4"]["files"]["q4.bin"]}
    (kitchen.out / "export.json").write_text(json.dumps(record))
    assert read_record(kitchen.out) is None
    outside = kitchen.out.parents[1] / "outside.txt"
    outside.write_text("mine")
    assert kitchen.run(*kitchen.chain()) == ["merge", "f16", "q8", "q4", "proof"]
    assert outside.read_text() == "mine"


def test_files_in_folders_and_the_configuration_last(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without config.json no library takes a folder for a model, so a kill while files get their names is harmless."""
    order: list[str] = []
    replace: Callable[..., Path] = Path.replace

    def note(self: Path, target: Path) -> Path:
        order.append(target.name)
        return replace(self, target)

    async def work(folder: Path, _report: OnProgress) -> dict[str, Any]:
        (folder / "templates").mkdir()
        for name in ("templates/a.jinja", "config.json", "model.safetensors", "aa.json"):
            (folder / name).write_text(name)
        return {}

    monkeypatch.setattr(Path, "replace", note)
    kitchen.run(Step("merge", 1, work))
    assert [name for name in order if name != "export.json"] == [
        "aa.json", "model.safetensors", "a.jinja", "config.json",
    ]  # fmt: skip
    shutil.rmtree(kitchen.out / "templates")
    kitchen.run(Step("merge", 1, work))
    assert (kitchen.out / "templates" / "a.jinja").read_text() == "templates/a.jinja"
