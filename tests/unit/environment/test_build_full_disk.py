"""Tests the setup of the training environment on a disk that is too small, or that fills up during the setup."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import fill, mounted
from support.wheels import make_wheel, only_these_wheels

from codex_tui.cli import main
from codex_tui.environment import build, stack

LIST = "# [torch]\ntorch==2.13.0\n# [stack]\ntrl==1.15.0\n"

SMALL = "# [torch]\ntorch==2.13.0\n# [stack]\ntyro==1.0.17\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=12m") as folder:
        yield folder


@pytest.fixture
def home(tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home on that disk, and a list in which trl alone is larger than the disk."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "torch", "2.13.0", files={"torch/version.py": "cuda: str | None = None\n"})
    make_wheel(wheels, "trl", "1.15.0", files={"trl/large.py": random.Random(1).randbytes(8 << 20).hex()})
    make_wheel(wheels, "tyro", "1.0.17")
    with only_these_wheels(wheels, LIST, disk / "home", monkeypatch) as folder:
        yield folder


def test_a_disk_that_is_too_small_is_reported_before_anything_is_written(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup"]) == 3
    envs = home / "data" / "envs"
    message, hint = capsys.readouterr().err.splitlines()[-2:]
    assert message == f"codex-tui: The training environment needs about 2 GiB in {envs}; 0.0 GiB is free"
    assert "Free some space" in hint
    assert [path.name for path in envs.iterdir()] == ["codex-train.lock"]


@pytest.mark.parametrize("at", ["the packages", "the environment", "the first file"])
def test_a_disk_that_fills_up(
    home: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    monkeypatch.setattr(build, "GIB_NEEDED", {"cpu": 0})
    filler = fill(disk, but={"the packages": 10 << 20, "the environment": 8192, "the first file": 0}[at])
    assert main(["setup", "--cpu"]) == 3
    error = capsys.readouterr().err
    envs = home / "data" / "envs"
    lines = [line for line in error.splitlines() if line.startswith("codex-tui: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"codex-tui: The disk is full: {envs}/codex-train.new/"), error
    assert error.count("Free some space") == 1
    assert {path.name for path in envs.iterdir()} <= {"codex-train.lock"}  # its files are removed
    filler.unlink()
    with pytest.raises(build.EnvironmentMissing):
        build.find_python()


def test_the_old_environment_stays(
    home: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "GIB_NEEDED", {"cpu": 0})
    stack.PINS_FILE.write_text(SMALL)
    stack.load_pins.cache_clear()
    assert main(["setup"]) == 0
    stack.PINS_FILE.write_text(LIST)
    stack.load_pins.cache_clear()
    assert main(["setup"]) == 3
    assert "The disk is full" in capsys.readouterr().err
    stack.PINS_FILE.write_text(SMALL)
    stack.load_pins.cache_clear()
    assert build.find_python() == home / "data/envs/codex-train/bin/python"


def test_files_of_a_killed_setup_are_removed_first(home: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = home / "data" / "envs" / "codex-train.new"
    leftover.mkdir(parents=True)
    (leftover / "half").write_bytes(bytes(8 << 20))
    free = []
    monkeypatch.setattr(build, "_check_room", lambda root, _: free.append(os.statvfs(root.parent).f_bavail))
    stack.PINS_FILE.write_text(SMALL)
    stack.load_pins.cache_clear()
    assert main(["setup"]) == 0
    assert free[0] * 4096 > 10 << 20


def test_a_full_cache_of_the_installer_is_named(
    home: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "GIB_NEEDED", {"cpu": 0})
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(disk / "uv"))
    fill(disk, but=1 << 20)
    assert main(["setup"]) == 3
    error = capsys.readouterr().err
    assert f"codex-tui: The disk is full: {disk}/uv/" in error, error
