"""Facts about the machine, from files that the test writes."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from codex_tui.machine import facts, gpu
from training.memory.wsl import wsl


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("Linux version 6.6.87.2-microsoft-standard-WSL2 (root@a)", 2),
        ("Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)", 1),
        ("Linux version 6.8.0-45-generic (buildd@lcy02)", 0),
    ],
)
def test_wsl_by_its_kernel(tmp_path: Path, version: str, kind: int) -> None:
    (tmp_path / "version").write_text(version)
    assert wsl(tmp_path) == kind


def test_wsl_with_a_kernel_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("Linux version 6.9.0-mine")
    (tmp_path / "sys/fs/binfmt_misc").mkdir(parents=True)
    (tmp_path / "sys/fs/binfmt_misc/WSLInterop").touch()
    assert wsl(tmp_path) == 2
    assert wsl(tmp_path / "none") == 0


def test_idle_timeouts_of_wslconfig(tmp_path: Path) -> None:
    assert facts.wsl_idle_timeouts(tmp_path) == {}
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / ".wslconfig").write_text(
        "\ufeff[wsl2]\nvmIdleTimeout=-1\n[general]\ninstanceIdleTimeout = -1\n"
    )
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / ".wslconfig").write_text("no section = here\n")
    assert facts.wsl_idle_timeouts(tmp_path) == {"vmIdleTimeout": "-1", "instanceIdleTimeout": "-1"}


def test_logout_ends_runs_only_without_lingering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no busctl
    etc, linger = tmp_path / "etc", tmp_path / "linger"
    (etc / "logind.conf.d").mkdir(parents=True)
    linger.mkdir()
    (etc / "logind.conf").write_text("#KillUserProcesses=yes\n")
    assert not facts.killed_at_logout(etc, linger)
    (etc / "logind.conf.d" / "site.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    assert facts.killed_at_logout(etc, linger)
    (etc / "logind.conf.d" / "z.conf").write_text("[Login]\nKillUserProcesses=no\n")  # the last one counts
    assert not facts.killed_at_logout(etc, linger)
    (etc / "logind.conf.d" / "z.conf").unlink()
    (linger / getpass.getuser()).touch()
    assert not facts.killed_at_logout(etc, linger)


def test_logind_is_asked_before_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busctl = tmp_path / "busctl"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for answer, killed in (("echo b true", True), ("echo b false", False), ("exit 1", False)):
        busctl.write_text(f"#!/bin/sh\n{answer}\n")
        busctl.chmod(0o700)
        assert facts.killed_at_logout(tmp_path, tmp_path) is killed


@pytest.mark.parametrize(
    ("cgroup", "killed"),
    [
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope", True),
        ("0::/user.slice/user-1000.slice/session-3.scope", False),
        ("0::/", False),
    ],
)
def test_a_desktops_terminal_is_of_the_manager_that_ends_with_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str, killed: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "cgroup").write_text(cgroup + "\n")
    assert facts.killed_at_logout(tmp_path, tmp_path, tmp_path / "cgroup") is killed
    (tmp_path / getpass.getuser()).touch()
    assert not facts.killed_at_logout(tmp_path, tmp_path, tmp_path / "cgroup")


def test_hub_token_is_found_and_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert facts.hub_token() is None
    (tmp_path / "token").write_text("hf_secret")
    assert facts.hub_token() == f"in {tmp_path / 'token'}"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert facts.hub_token() == "in $HF_TOKEN"


@pytest.mark.parametrize(
    ("variables", "colours"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 2**24),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0),
    ],
)
def test_terminal_colours(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], colours: int) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert facts._colours() == colours


def test_disk_of_a_folder_not_made_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "a" / "b"))
    assert facts.disk_free_gib() > 0
    assert not (tmp_path / "a").exists()


def test_no_gpu_is_imagined(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the real NVML says on this machine agrees with what decides the build of torch."""
    assert gpu.nvidia_present() == (gpu.Sampler().read().gpu is not None)
