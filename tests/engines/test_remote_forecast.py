"""`codex-tui forecast --on REMOTE` asks the remote for its cards, over the real ssh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.sshd import Box, shadow

from codex_tui.cli import main
from codex_tui.engines.ssh.remote.remotes import Remote, add_remote
from codex_tui.machine import forecast

CARDS = "echo 'NVIDIA GeForce RTX 4090, 24564, 1'; echo 'NVIDIA GeForce RTX 3050 Laptop GPU, 4096, 306'"


@pytest.fixture(autouse=True)
def remote(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote with two cards. This machine has none."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(forecast, "read_card", lambda _: pytest.fail("this machine does not train"))
    add_remote(Remote("box", "box", str(box.home / "codex-tui")))
    shadow(box, "nvidia-smi", CARDS)


def forecast_on_box(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = main(["forecast", "rtx3050-4gb", "--on", "box", *options])
    return code, capsys.readouterr().out


def read_json(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any]:
    code, text = forecast_on_box(capsys, *options, "--json")
    return code, json.loads(text)


def test_the_forecast_is_for_the_remotes_card(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = forecast_on_box(capsys)
    assert code == 0
    assert text.startswith("Trains on: box. Its card: NVIDIA GeForce RTX 4090, 24.0 GB, 24.0 GB free now.\n")
    assert "✓ fits" in text and "estimated for NVIDIA GeForce RTX 4090." in text and "Disk:" not in text
    too_long = ["--set", "model.max_seq_length=16384", "--set", "hardware.device=1"]
    code, told = read_json(capsys, *too_long)
    assert (code, told["fits"], told["card_mib"], told["card_name"]) == (
        1, False, 4096, "NVIDIA GeForce RTX 3050 Laptop GPU",
    )  # fmt: skip
    assert (told["place"], told["card_unknown"], told["measured_here"]) == ("box", "", False)
    assert told["remedies"] and told["tokens_per_second"]["low"] > 0


def test_a_card_that_is_given_is_not_asked_for(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    box.link.cut()
    code, text = forecast_on_box(capsys, "--card", "4096")
    assert code == 0 and text.startswith("Trains on: box.\n")


def test_a_card_that_is_not_known_is_said_with_what_to_do(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    advice = "Trains on: box. Its cards are not known here: --card 24576 compares with one of 24 GB. "
    code, text = forecast_on_box(capsys, "--set", "launch.processes=4")
    assert code == 0 and f"{advice}box has 2 GPUs, and the profile asks for GPU 2 and 3.\n" in text
    shadow(box, "nvidia-smi", "echo 'No devices were found'; exit 6")
    assert f"{advice}nvidia-smi shows no card on box (exit code 6).\n" in forecast_on_box(capsys)[1]
    shadow(box, "nvidia-smi", "echo 'NVIDIA GB10, [N/A], [N/A]'")
    assert f"{advice}box has 0 GPUs" in forecast_on_box(capsys)[1]
    box.link.cut()
    code, told = read_json(capsys)
    assert (code, told["fits"], told["card_mib"], told["card_name"]) == (0, None, None, None)
    assert told["card_unknown"].startswith("box can't be reached: ")
    # A profile that somebody else made may name a remote which is not here; --on may not.
    elsewhere = ["--set", "launch.engine=ssh", "--set", "launch.ssh.remote=nowhere"]
    assert main(["forecast", "rtx3050-4gb", *elsewhere]) == 0
    assert "There is no remote 'nowhere'." in capsys.readouterr().out
    assert main(["forecast", "rtx3050-4gb", "--on", "nowhere"]) == 2
    assert "There is no remote 'nowhere'." in capsys.readouterr().err


def test_a_cluster_is_not_asked_and_one_place_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "rtx3050-4gb", "--on", "slurm", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["place"], told["fits"], told["card_unknown"]) == (
        "Slurm",
        None,
        "A cluster has several kinds of cards.",
    )
    assert main(["forecast", "rtx3050-4gb", "--on", "slurm", "--card", "4096", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fits"] is True
    assert main(["forecast", "rtx3050-4gb", "--on", "box", "--set", "launch.engine=slurm"]) == 2
    assert "--on and another option both give launch.engine" in capsys.readouterr().err
    assert main(["forecast", "rtx3050-4gb", "--on", "a b"]) == 2
    assert "--on: should be text, letters, digits" in capsys.readouterr().err
