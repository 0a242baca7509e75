"""Tests a model of the Hub that the trainer downloads to a disk without enough space."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import fill, mounted
from support.hub.user import HubUser

from codex_tui.workers.process import trainer_environment

REPO = "me/tiny"
BUILD = "import sys; from pathlib import Path; from training.demo import llama; print(llama.build(Path(sys.argv[1])))"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=12m") as folder:
        yield folder


def test_a_model_that_has_no_room(user: HubUser, disk: Path, trainer_python: Path) -> None:
    built = subprocess.run(
        [trainer_python, "-c", BUILD, user.home / "built"],
        env=trainer_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = {path.name: path.read_bytes() for path in Path(built.stdout.splitlines()[-1]).iterdir()}
    user.hub.add("model", REPO, files)
    filler = fill(disk, but=1 << 20)
    command = ["train", "demo", "--set", f"model.name={REPO}", "--set", "training.max_steps=2"]
    home = {"HF_HOME": str(disk / "hf"), "CUDA_VISIBLE_DEVICES": ""}
    full = user.run_command(*command, "--headless", "--python", trainer_python, **home)
    assert full.returncode == 1, full.stderr
    assert full.stdout.count("The disk is full") == 1
    failed = json.loads((user.home / "codex/data/runs/demo-1/events.jsonl").read_text().splitlines()[-1])
    assert (failed["kind"], failed["message"]) == ("disk_full", f"The disk is full: {disk}/hf/hub can't be written.")
    asked = user.run_command("chat", "demo-1", "--base", "--prompt", "Who?", "--python", trainer_python, **home)
    assert asked.returncode == 1
    assert f"codex-tui: The disk is full: {disk}/hf/hub can't be written." in asked.stderr.splitlines()
    filler.unlink()
    again = user.run_command("resume", "demo-1", "--headless", "--python", trainer_python, **home)
    assert again.returncode == 0, again.stdout + again.stderr
