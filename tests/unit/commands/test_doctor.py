"""doctor and setup as a person and a script meet them."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from pathlib import Path

import pytest

from codex_tui.base import settings
from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.cli import main
from codex_tui.commands import doctor, setup
from codex_tui.commands import progress as progress_printer
from codex_tui.commands.doctor_finding import SIGNS
from codex_tui.environment import build as environment_build
from codex_tui.environment import stack
from codex_tui.machine import facts as machine_facts
from codex_tui.machine.facts import GpuFacts

H200 = GpuFacts("H200", "580.1", (13, 0), 140_000, 139_000, (9, 0), 1)


def report(cuda: str | None = "13.0", **versions: str | None) -> stack.EnvironmentReport:
    packages = (
        stack.Package(pin.name, pin.version, versions.get(pin.name, pin.version), pin.group in ("torch", "stack"))
        for pin in stack.load_pins()
        if pin.group != "cuda"
    )
    return stack.EnvironmentReport(Path("/env/bin/python"), "3.11.7", cuda, tuple(packages))


def states(findings: list[doctor.Finding]) -> dict[str, str]:
    return {finding.topic: finding.state for finding in findings}


def test_real_environment(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against the interpreter that the tests train with."""
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert {package["state"] for package in found["packages"].values()} == {"ok"}
    assert found["packages"]["unsloth"]["installed"] == found["packages"]["unsloth"]["pinned"]
    assert {"GPU", "WSL2", "trainer", "torch", "trl", "disk", "Hub token", "terminal"} <= {
        finding["topic"] for finding in found["findings"]
    }
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found["findings"])
    assert all(line[0] in SIGNS.values() for line in lines)
    assert main(["setup", "--json"]) == 0
    ready = json.loads(capsys.readouterr().out)
    assert ready["ok"] is True and ready["python"] == found["python"] and ready["managed"] is False


def test_nothing_built_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    assert main(["doctor"]) == 3
    assert "✗ trainer" in (out := capsys.readouterr().out) and "→ codex-tui setup" in out
    assert main(["doctor", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False and found["python"] is None and found["packages"] == {}
    assert not any(tmp_path.iterdir())


def test_settings_that_are_wrong_are_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.toml").write_text("[trainer]\npython = \n")
    assert main(["doctor"]) == 3
    assert "at line 2" in capsys.readouterr().out


def test_escape_sequences_do_not_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    assert main(["doctor", "--python", "/nowhere/\x1b]0;gone\x07"]) == 3
    assert main(["setup", "--python", "/nowhere/\x1b]0;gone\x07"]) == 3
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err and "␛" in told.out and "␛" in told.err


def test_token_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    main(["doctor"])
    main(["doctor", "--json"])
    out = capsys.readouterr().out
    assert "hf_secret" not in out and "in $HF_TOKEN" in out


def test_gpu_that_is_fine() -> None:
    assert set(states(list(doctor.gpu_findings(H200, report()))).values()) == {"ok"}


@pytest.mark.parametrize(
    ("facts", "cuda", "topic", "state", "said"),
    [
        (GpuFacts("T4", "550", (12, 4), 15_000, 14_900, (7, 5), 1), "13.0", "CUDA", "bad", "update the NVIDIA driver"),
        (GpuFacts("T4", "580", (13, 0), 15_000, 14_900, (7, 5), 1), "13.0", "capability", "ok", "no bfloat16"),
        (GpuFacts("P100", "580", (13, 0), 16_000, 15_900, (6, 0), 1), "13.0", "capability", "bad", "too old"),
        (
            GpuFacts("A", "580", (13, 0), 6_000, 1_000, (8, 9), 1),
            "13.0",
            "VRAM",
            "warning",
            "close the programs that use",
        ),
        (GpuFacts("A", "580", (13, 0), None, None, None, 1), "13.0", "VRAM", "warning", "NVML does not report it"),
        (GpuFacts("A", "580", (13, 0), 6_000, 6_000, (8, 9), 2), None, "CUDA", "warning", "setup --cuda"),
        ("no NVIDIA driver on this machine", None, "GPU", "warning", "no NVIDIA driver"),
    ],
)
def test_gpus_with_something_to_say(facts: GpuFacts | str, cuda: str | None, topic: str, state: str, said: str) -> None:
    found = {finding.topic: finding for finding in doctor.gpu_findings(facts, report(cuda))}
    assert found[topic].state == state
    assert said in f"{found[topic].found} {found[topic].advice}"


def test_packages_of_other_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = report(trl="1.14.0", peft=None, tyro=None)
    monkeypatch.setattr(stack, "describe", lambda python: described)
    with settings.use_python(Path("/env/bin/python")):
        _, findings = doctor.examine_trainer()
    found = states(findings)
    assert (found["trl"], found["peft"], found["torch"], found["other packages"]) == ("warning", "bad", "ok", "warning")
    with pytest.raises(EnvironmentMissing, match="lacks peft\n"):
        stack.require(described)


def test_wsl2_says_what_follows() -> None:
    found = {finding.topic: finding for finding in doctor.wsl_findings(2, {"vmIdleTimeout": "60000"})}
    assert list(found) == ["WSL2", "WSL2 host memory", "WSL2 spilling", "WSL2 shutdown"]
    assert found["WSL2 shutdown"].state == "warning" and "last terminal" in found["WSL2 shutdown"].found
    for setting in ("instanceIdleTimeout=-1", "vmIdleTimeout=-1", "wsl --shutdown"):
        assert setting in found["WSL2 shutdown"].advice
    forever = {"vmIdleTimeout": "-1", "instanceIdleTimeout": "-1"}
    assert states(list(doctor.wsl_findings(2, forever)))["WSL2 shutdown"] == "ok"
    assert states(list(doctor.wsl_findings(1, {}))) == {"WSL2": "bad"}


def test_disk_and_terminal() -> None:
    small = machine_facts.Terminal(60, 20, 2**24)
    found = {finding.topic: finding for finding in doctor.other_findings(1.0, None, small, True)}
    assert {topic: finding.state for topic, finding in found.items()} == {
        "logout": "warning",
        "disk": "warning",
        "Hub token": "ok",
        "terminal": "warning",
    }
    assert found["terminal"].found == "60x20, 16 million colours"
    assert "enable-linger" in found["logout"].advice
    assert states(list(doctor.other_findings(1.0, None, small, False)))["logout"] == "ok"


def test_setup_as_json_tells_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    assert main(["setup", "--json", "--python", "/nowhere/python"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False and "/nowhere/python" in told["message"]


def test_progress_is_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()

    def await_lines(count: int) -> None:
        deadline = time.monotonic() + 30
        while stream.getvalue().count("\n") < count:
            assert time.monotonic() < deadline, stream.getvalue()
            time.sleep(0.01)

    def ensure(report: OnProgress, python: Path | None = None, *, build: str = "auto") -> Path:
        for done in range(5):
            report(Progress("installing torch", done, 81, "packages", "1 of 2 MiB: \x1b[2Jtorch", 20.0))
        await_lines(1)
        for done in range(5, 10):
            report(Progress("installing torch", done, 81, "packages", "1 of 2 MiB: \x1b[2Jtorch", 20.0))
            time.sleep(0.05)  # several times what the printer waits between two looks
        report(Progress("ready", 81, 81, "packages"))
        await_lines(2)
        return Path("/env/bin/python")

    monkeypatch.setattr(environment_build, "ensure", ensure)
    monkeypatch.setattr(progress_printer, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress_printer, "REDRAW_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stderr", stream)
    assert setup.ensure_with_progress() == Path("/env/bin/python")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 and "\x1b" not in stream.getvalue()
    first = r"codex-train: installing torch  [0-4] of 81 packages  0:0\d, about 0:20 left  1 of 2 MiB: ␛\[2Jtorch"
    assert re.fullmatch(first, lines[0])
    assert re.fullmatch(r"codex-train: ready  81 of 81 packages  0:0\d", lines[1])


def test_a_set_up_that_takes_no_second_prints_no_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ensure(report: OnProgress, python: Path | None = None, *, build: str = "auto") -> Path:
        report(Progress("ready", 81, 81, "packages"))
        return Path("/env/bin/python")

    monkeypatch.setattr(environment_build, "ensure", ensure)
    assert setup.ensure_with_progress() == Path("/env/bin/python")
    assert capsys.readouterr().err == ""
