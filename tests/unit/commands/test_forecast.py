"""The memory in codex-tui forecast, and what a launch makes of it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_forecast import CARD as LAPTOP

from codex_tui import launch_plan
from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.launch_plan import make_plan
from codex_tui.machine import facts, forecast
from codex_tui.profiles.overrides import parse_overrides
from training.dataset.source import DEMO_DATASET

SHIPPED = locations.shipped_profiles() / "rtx3050-4gb.toml"


@pytest.fixture(autouse=True)
def without_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": None)
    return tmp_path


def test_a_script_gets_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "rtx3050-4gb", "--card", "4096", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["components"]) == {"weights", "lora", "optimizer", "activations", "loss_head", "context"}
    assert sum(told["components"].values()) == pytest.approx(told["device_mib"], abs=0.5)
    assert told["reserved_mib"] < told["device_mib"] < told["limit_mib"] < told["card_mib"] == 4096
    assert told["fits"] is True
    assert told["measured_here"] is False


@pytest.mark.parametrize(
    ("sets", "place", "has_disk"),
    [
        (
            ["launch.engine=slurm", "launch.slurm.partition=gpu", "launch.nodes=2"],
            "Slurm, partition gpu, 2 nodes",
            True,
        ),
        (["launch.engine=ssh", "launch.ssh.remote=box"], "box", False),
    ],
)
def test_a_run_elsewhere_is_not_compared_with_this_machine(
    sets: list[str], place: str, has_disk: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    longer = ["forecast", "rtx3050-4gb", "--set", "model.max_seq_length=8192"]
    assert main(longer) == 1  # here it does not fit
    capsys.readouterr()
    elsewhere = [*longer, *(part for one in sets for part in ("--set", one))]
    assert main(elsewhere) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Trains on: {place}. Its cards are not known here: --card 24576 compares")
    assert "RTX 3050" not in text and "does not fit" not in text and ("Disk: " in text) == has_disk
    assert "Speed: not known before the first run with this model there." in text
    assert main([*elsewhere, "--json", "--card", "4096"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["place"], told["fits"], told["disk_mib"] is not None) == (place, False, has_disk)


def test_what_does_not_fit_is_told_with_remedies_and_by_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    longer = ["forecast", "rtx3050-4gb", "--card", "4096", "--set", "model.max_seq_length=8192"]
    assert main([*longer, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["fits"] is False
    assert {"field", "value", "frees_mib", "fits", "cost", "longer"} == set(told["remedies"][0])
    assert main(longer) == 1
    text = capsys.readouterr().out
    assert "✗ does not fit: " in text
    field, value = told["remedies"][0]["field"], told["remedies"][0]["value"]
    assert f"--set {field}={value}  (costs " in text
    assert main([*longer, "--set", f"{field}={value}"]) == 0  # the remedy, as it is printed, is one


def test_without_a_card_it_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "rtx3050-4gb"]) == 0
    assert "No GPU found to compare with" in capsys.readouterr().out
    assert main(["forecast", "rtx3050-4gb", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fits"] is None


def test_the_card_that_is_here_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[int | str] = []

    def card(device: int | str = "auto") -> forecast.Card:
        asked.append(device)
        return LAPTOP

    monkeypatch.setattr(forecast, "read_card", card)
    assert main(["forecast", "rtx3050-4gb", "--set", "hardware.device=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card_mib"] == 4096
    assert set(asked) == {1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rtx3050-4gb", "--card", "3"], "--card takes 256 to 10,000,000 MiB"),
        (["rtx3050-4gb", "--card", "9" * 400], "--card takes 256 to 10,000,000 MiB"),
        (["rtx3050-4gb", "--set", 'lora.target_modules=["fooo"]'], "fooo, which the model doesn't have"),
        (["rtx3050-4gb", "--set", 'lora.modules_to_save=["norm"]'], "norm, whose size is not known"),
        (["rtx3050-4gb", "--set", 'model.name="./nowhere"'], "is not a model's folder"),
        (["rtx3050-4gb", "--set", 'hardware.device="cpu"'], "runs on the CPU"),
        (["no-such-profile"], "No profile is called"),
        (["rtx3050-4gb", "--set", "lora.rank=3"], "lora.rank"),
        (["rtx3050-4gb", "--set", 'model.name="nobody/never-seen"'], "nobody/never-seen is not on this machine"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err


def test_a_remedy_can_be_pasted_into_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "rtx3050-4gb", "--card", "3300"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "--set" in line]
    assert any("target_modules" in line for line in lines)
    for line in lines:
        option = shlex.split(line.partition("--set ")[2].partition("  (costs ")[0])
        assert main(["forecast", "rtx3050-4gb", "--card", "9000", "--set", *option]) == 0


def test_no_room_at_all_is_no_missing_card(capsys: pytest.CaptureFixture[str]) -> None:
    nothing_left = ["--set", "hardware.display_reserve_mib=4096"]
    assert main(["forecast", "rtx3050-4gb", "--card", "4096", *nothing_left]) == 1
    assert "✗ does not fit" in capsys.readouterr().out


def test_a_model_in_the_hubs_cache_is_found_offline(without_a_card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = without_a_card / "hub" / "hub" / "models--somebody--tiny"
    snapshot = hub / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("abc")
    shape = {"vocab_size": 32000, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4,
             "num_attention_heads": 8}  # fmt: skip
    (snapshot / "config.json").write_text(json.dumps(shape))
    code = (
        "import sys; from codex_tui.cli import main; "
        "sys.exit(main(['forecast', 'rtx3050-4gb', '--set', 'model.name=\"somebody/tiny\"', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert 900 < json.loads(done.stdout)["device_mib"] < 1500


def test_a_launch_warns_or_refuses_as_the_profile_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    monkeypatch.setattr(facts, "disk_free_gib", lambda: 100.0)
    monkeypatch.setattr(launch_plan, "find_missing_model", lambda profile, path: None)

    def warnings(**overrides: object) -> list[str]:
        fields = {name.replace("__", "."): value for name, value in overrides.items()}
        return make_plan(SHIPPED, dataset=DEMO_DATASET, overrides=fields).warnings

    assert warnings() == []
    [said] = warnings(model__max_seq_length=8192)
    assert "rtx3050-4gb is forecast to take 4.33 GB of the card" in said
    assert "may take 3.71 GB" in said
    with pytest.raises(BadInput, match="is forecast to take"):
        warnings(model__max_seq_length=8192, launch__on_no_fit="refuse")
    assert warnings(model__max_seq_length=8192, launch__on_no_fit="refuse", hardware__device="cpu") == []


def test_a_refusal_names_a_command_that_asks_the_same(
    without_a_card: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    mine = without_a_card / "my own" / "rtx3050-4gb.toml"  # not the shipped one of that name
    mine.parent.mkdir()
    mine.write_text('extends = "rtx3050-4gb"\n[launch]\non_no_fit = "refuse"\n')
    sets = ["--set", "model.max_seq_length=16384", "--set", 'lora.target_modules=["q_proj", "v_proj"]']
    for path, name, options in (
        (mine, str(mine), sets),
        (SHIPPED, "rtx3050-4gb", [*sets, "--set", 'launch.on_no_fit="refuse"']),
    ):
        assert main(["train", str(path), "--dataset", DEMO_DATASET, *options]) == 2
        hint = capsys.readouterr().err.splitlines()[-1]
        assert shlex.split(hint.partition(": ")[2]) == ["codex-tui", "forecast", name, *options]
        assert main(["forecast", name, *options]) == 1
        capsys.readouterr()
        with pytest.raises(BadInput) as refused:
            make_plan(path, dataset=DEMO_DATASET, overrides=parse_overrides(options[1::2]))
        assert refused.value.hint == hint
