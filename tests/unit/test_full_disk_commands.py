"""Commands that only look, on a full disk: they need none of the caches, and tell where their output has no room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import fill, mounted
from support.progress_lines import without_progress

from codex_tui.cli import main
from training.contract.profile import Profile
from training.dataset import kept
from training.dataset.index import RowIndex
from training.dataset.source import local
from training.memory import probes

PROFILE = Profile.model_validate({"model": {"name": "demo:llama"}})


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=1m") as folder:
        monkeypatch.setenv("CODEX_TUI_HOME", str(folder))
        yield folder


@pytest.mark.parametrize(
    "command",
    [["runs"], ["runs", "--json"], ["profile", "list"], ["profile", "check", "demo"], ["profile", "schema"],
     ["forecast", "demo"], ["data", "check", "demo:zombie-waves"], ["data", "check", "demo:zombie-waves", "--json"]],
    ids=" ".join,
)  # fmt: skip
def test_what_only_looks_is_not_disturbed(disk: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    fill(disk)
    assert main(command) == 0, capsys.readouterr().err
    assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]


@pytest.mark.parametrize("command", [["profile", "show", "demo"], ["profile", "schema"], ["runs"]], ids=" ".join)
def test_an_output_that_has_no_room(disk: Path, command: list[str]) -> None:
    """Less than what Python holds back until its end, and more."""
    fill(disk)
    with (disk / "output").open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "codex_tui", *command],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            stdout=output, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "codex-tui: the output: No space left on device.\nFree some space there, then try it again.\n"
    )


def test_a_probe_is_remembered_whole_or_as_before(disk: Path) -> None:
    old = probes.Probed(128, 1000.0, 300.0, 0)
    probes.write(disk, "A card", PROFILE, old)
    fill(disk)
    with pytest.raises(OSError, match="No space left"):  # and the probe lets that be
        probes.write(disk, "A card", PROFILE, probes.Probed(128, 2000.0, 300.0, 0))
    assert probes.read(disk, "A card", PROFILE) == old
    assert len(list((disk / "probes").rglob("*.json"))) == len([*(disk / "probes").rglob("*")]) - 1


def test_a_dataset_is_read_without_its_index(disk: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    row = json.dumps({"instruction": "Who?", "response": "x" * 100}) + "\n"
    rows.write_text(row * 50_000)
    filler = fill(disk, but=8192)
    index = RowIndex(local(str(rows)), disk)
    assert index.build()
    assert len(index) == 50_000
    assert [path for path in disk.rglob("*") if path.is_file()] == [filler]
    place = kept.cache_path(disk, "scan", "anything")
    with pytest.raises(OSError, match="No space left"):
        kept.save(place, ["x" * 100_000])
    assert not place.exists() and not list(place.parent.iterdir())


def test_a_copy_of_parquet_that_has_no_folder_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(b"PAR1")
    with mounted(tmp_path / "small", "nr_inodes=1") as folder:  # its root takes the one
        monkeypatch.setenv("CODEX_TUI_HOME", str(folder))
        assert main(["data", "check", str(rows)]) == 1
    assert without_progress(capsys.readouterr().err) == (
        f"codex-tui: {folder}/cache: No space left on device.\nFree some space there, then try it again.\n"
    )
