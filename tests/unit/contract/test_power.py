"""Batteries and the program that holds off sleep, on machines that this one is not."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from training.contract import power
from training.contract.power import Battery, find_sleep_inhibitor, read_battery

LAPTOP = {"type": "Battery", "present": "1", "capacity": "74"}
MAINS = {"type": "Mains"}


def make_supplies(folder: Path, **supplies: dict[str, str]) -> Path:
    for name, files in supplies.items():
        (folder / name).mkdir(parents=True)
        for file, text in files.items():
            (folder / name / file).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("supplies", "battery"),
    [
        ({}, None),
        ({"AC": MAINS | {"online": "1"}}, None),  # a desktop
        ({"BAT0": LAPTOP | {"status": "Discharging"}, "AC": MAINS | {"online": "0"}}, Battery(True, 74)),
        ({"BAT0": LAPTOP | {"status": "Charging"}, "AC": MAINS | {"online": "1"}}, Battery(False, 74)),
        # A charger that is too weak: the laptop is plugged in all the same.
        ({"BAT0": LAPTOP | {"status": "Discharging"}, "ucsi": {"type": "USB", "online": "1"}}, Battery(False, 74)),
        # Two batteries, of which one is in use.
        (
            {"BAT0": LAPTOP | {"status": "Unknown", "capacity": "100"}, "BAT1": LAPTOP | {"status": "Discharging"}},
            Battery(True, 87),
        ),
        # WSL2 has no mains on some laptops, and a battery without a level.
        ({"BAT1": {"type": "Battery", "status": "Discharging"}}, Battery(True, None)),
        ({"BAT1": {"type": "Battery", "status": "Full"}}, Battery(False, None)),
        # A mouse, and a bay without a battery.
        ({"hidpp_battery_0": LAPTOP | {"scope": "Device", "status": "Discharging"}}, None),
        ({"BAT1": {"type": "Battery", "present": "0", "status": "Unknown"}}, None),
    ],
)
def test_batteries(tmp_path: Path, supplies: dict[str, dict[str, str]], battery: Battery | None) -> None:
    assert read_battery(make_supplies(tmp_path / "power_supply", **supplies)) == battery


def make_program(folder: Path, name: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


def test_logind_holds_off_sleep_and_over_ssh_idleness_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inhibit, cat = (make_program(tmp_path / "bin", name) for name in ("systemd-inhibit", "cat"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(power, "LOGIND", tmp_path / "seats")
    monkeypatch.setattr(power, "SYSTEM_BUS", tmp_path)
    assert find_sleep_inhibitor("zombie-1 trains", wsl=0) is None  # systemd is installed, as in a container, and idle
    (tmp_path / "seats").mkdir()
    inhibitor = find_sleep_inhibitor("zombie-1 trains", wsl=0)
    assert inhibitor is not None and inhibitor.system == "systemd-logind"
    first, second = inhibitor.commands
    assert first == (
        inhibit, "--what=sleep:idle", "--who=Codex TUI", "--why=zombie-1 trains", "--mode=block", cat
    )  # fmt: skip
    assert second[1] == "--what=idle" and second[2:] == first[2:]


def test_wsl_asks_windows_and_not_its_own_logind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    powershell = make_program(tmp_path / "bin", "powershell.exe")
    make_program(tmp_path / "bin", "systemd-inhibit")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(power, "LOGIND", tmp_path)
    monkeypatch.setattr(power, "WSL_INTEROP", tmp_path / "binfmt_misc")
    assert find_sleep_inhibitor("it trains", wsl=2) is None  # Windows programs can't be started
    (tmp_path / "binfmt_misc").mkdir()
    (tmp_path / "binfmt_misc" / "WSLInterop-late").write_text("enabled\n")
    inhibitor = find_sleep_inhibitor("it trains", wsl=2)
    assert inhibitor is not None and inhibitor.system == "Windows"
    ((program, *_, encoded),) = inhibitor.commands
    script = base64.b64decode(encoded).decode("utf-16-le")
    assert program == powershell
    assert "SetThreadExecutionState" in script and str(0x80000000 | 0x00000001) in script
    assert "ReadLine" in script  # it ends when its stdin closes
