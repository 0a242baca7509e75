"""Sleep, batteries and WSL2's shutdown, as doctor and a launch tell of them, on machines that this one is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.fake_forecast import forecast_resources

from codex_tui.commands.doctor_finding import Finding
from codex_tui.commands.doctor_power import LID, power_findings
from codex_tui.machine import facts
from codex_tui.machine import power as machine_power
from codex_tui.ui.launch.checks import Checks, describe_checks
from training.contract import power
from training.contract.power import Battery
from training.contract.profile import Profile

FOREVER = {"vmIdleTimeout": "-1", "instanceIdleTimeout": "-1"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with logind, and a folder for programs that it has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    make_program(folder, "cat", "")
    monkeypatch.setenv("PATH", str(folder))
    for name in ("LOGIND", "SYSTEM_BUS", "WSL_INTEROP"):
        monkeypatch.setattr(power, name, tmp_path)
    (tmp_path / "WSLInterop").touch()
    monkeypatch.setattr(power, "POWERSHELL", "/does/not/exist")
    return folder


def make_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def examine(monkeypatch: pytest.MonkeyPatch, wsl: int = 0, battery: Battery | None = None) -> list[Finding]:
    for module in ("codex_tui.commands.doctor_power", "codex_tui.machine.power"):
        monkeypatch.setattr(f"{module}.read_battery", lambda: battery)
    monkeypatch.setattr(machine_power, "wsl", lambda: wsl)
    return list(power_findings(wsl))


def test_doctor_tries_what_holds_off_sleep(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(programs, "systemd-inhibit", "exit 0")
    laptop = examine(monkeypatch, battery=Battery(False, 80))
    assert laptop == [
        Finding("sleep", "ok", "held off by systemd-logind while a run trains", LID),
        Finding("battery", "ok", "80 %, plugged in"),
    ]
    make_program(programs, "systemd-inhibit", 'case "$1" in *sleep*) echo "Access denied" >&2; exit 1;; esac')
    over_ssh = examine(monkeypatch)[0]
    assert (over_ssh.state, "unless someone asks for it" in over_ssh.found) == ("ok", True)
    make_program(programs, "systemd-inhibit", 'echo "Access denied" >&2; exit 1')
    refused = "not held off while a run trains: systemd-logind refuses it: Access denied"
    assert examine(monkeypatch) == [Finding("sleep", "ok", refused), Finding("battery", "ok", "none")]
    on_battery = examine(monkeypatch, battery=Battery(True, None))
    assert on_battery[0] == Finding("sleep", "warning", refused, "the run goes on after a sleep")
    assert on_battery[1].found == "in use" and "park_on_battery" in on_battery[1].advice


def test_under_wsl2_windows_is_asked(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(programs, "systemd-inhibit", "exit 0")  # which keeps only Linux awake
    without = examine(monkeypatch, wsl=2)[0]
    assert without.found == "not held off while a run trains: powershell.exe can't be started from here"
    assert without.state == "warning" and "never sleep" in without.advice
    make_program(programs, "powershell.exe", "exit 0")
    assert examine(monkeypatch, wsl=2)[0] == Finding("sleep", "ok", "held off by Windows while a run trains")


def test_a_launch_warns_of_what_suspends_or_ends_the_run(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: dict[str, str] = {}
    monkeypatch.setattr(facts, "wsl_idle_timeouts", lambda: timeouts)
    asleep = "Nothing can keep this machine awake, so the run stands still while it sleeps."
    examine(monkeypatch, wsl=0)
    assert machine_power.find_power_warnings(True) == ()  # a server without logind: it does not sleep
    examine(monkeypatch, battery=Battery(False, 80))
    assert machine_power.find_power_warnings(True) == (asleep,)
    assert machine_power.find_power_warnings(False) == ()  # nobody wants it
    examine(monkeypatch, wsl=2)
    shutdown, *others = machine_power.find_power_warnings(True)
    assert shutdown.startswith("WSL2 shuts down and ends the run when its last terminal closes") and others == [asleep]
    timeouts |= FOREVER
    make_program(programs, "powershell.exe", "exit 0")
    assert machine_power.find_power_warnings(True) == ()


def test_the_launch_dialog_shows_the_warnings(tmp_path: Path) -> None:
    profile = Profile.model_validate({"model": {"name": "some/model"}})
    forecast = forecast_resources(profile, tmp_path / "mine.toml")
    warned = replace(forecast, power_warnings=("WSL2 shuts down.",))
    assert "! WSL2 shuts down." in describe_checks(Checks(2048, forecast=warned)).plain.splitlines()
    assert "WSL2" not in describe_checks(Checks(2048, forecast=forecast)).plain
