"""Homes that are read-only, missing, closed, or no folders: one clear sentence, never a traceback, nothing hangs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import mounted
from support.fake_interpreter import refusing_interpreter
from support.fake_runs import make_run

from codex_tui.base import locations
from codex_tui.cli import main
from training.contract import events as ev

ROOT = Path(__file__).resolve().parents[2]
# What permissions bind for root as well: the right to pass over them is given up.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


@pytest.fixture
def python(tmp_path: Path) -> str:
    (tmp_path / "stand-in").mkdir()
    return str(refusing_interpreter(tmp_path / "stand-in"))


def says(home: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """A command's exit code and words, in a process that permissions bind."""
    prefix = BOUND if os.geteuid() == 0 else []
    if prefix and not shutil.which(prefix[0]):
        pytest.skip("as root, permissions bind nothing, and there is no setpriv")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "CODEX_TUI_"))}
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "codex_tui", *arguments],
        env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment},
        cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert "Traceback" not in told, told
    return done.returncode, told


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "read-only", "ro,size=1m") as folder:
        yield folder


def all_but_reading(home: Path, python: str, why: str, **environment: str) -> None:
    """Where nothing can be written: what would write says so, what only looks finds nothing."""
    for command in (["demo"], ["train", "demo"]):
        code, told = says(home, *command, "--headless", "--python", python, **environment)
        assert code == 1, told
        assert f"can't be made: {why}." in told
        assert "Set CODEX_TUI_HOME to a folder that you can write to" in told
    code, told = says(home, "setup", **environment)
    assert code in (2, 3), told  # its settings can't be read, or it can't be built
    assert str(home) in told and told.count(why) == 1
    code, told = says(home, "doctor", "--python", python, **environment)
    assert code == 1, told
    assert told.count("can't be written → set CODEX_TUI_HOME") == 3


def test_a_read_only_home(read_only: Path, python: str) -> None:
    all_but_reading(read_only, python, "Read-only file system")
    assert says(read_only, "runs") == (0, "No runs yet. Start one with: codex-tui demo\n")
    code, told = says(read_only, "attach", "--headless")
    assert code == 2
    assert "There are no runs yet." in told


def test_a_missing_home_where_none_can_be_made(tmp_path: Path, python: str) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o500)
    all_but_reading(above / "me", python, "Permission denied")
    assert says(above / "me", "runs") == (0, "No runs yet. Start one with: codex-tui demo\n")
    assert not (above / "me").exists()


def test_a_missing_home_is_made(tmp_path: Path) -> None:
    assert says(tmp_path / "not" / "yet", "runs") == (0, "No runs yet. Start one with: codex-tui demo\n")
    _, told = says(tmp_path / "not" / "yet", "doctor", "--python", sys.executable)
    assert "can't be written" not in told


def test_a_file_in_place_of_the_home(tmp_path: Path, python: str) -> None:
    home = tmp_path / "home"
    home.write_text("mine")
    all_but_reading(home, python, "Not a directory")
    for command in (["runs"], ["attach", "--headless"], ["resume", "x", "--headless"]):
        code, told = says(home, *command)
        assert code == 1
        assert "can't be read: Not a directory." in told
    assert home.read_text() == "mine"


@pytest.mark.parametrize("what", ["a closed folder", "a file"])
def test_runs_that_can_not_be_read_are_not_none(tmp_path: Path, python: str, what: str) -> None:
    runs = tmp_path / "codex" / "data" / "runs"
    runs.parent.mkdir(parents=True)
    if what == "a file":
        runs.write_text("mine")
        why, made = "Not a directory", "File exists"
    else:
        runs.mkdir()
        (runs / "kept").mkdir()
        runs.chmod(0)
        why = made = "Permission denied"
    codex = {"CODEX_TUI_HOME": str(tmp_path / "codex")}
    for command in (["runs"], ["runs", "--json"], ["attach", "--headless"], ["stop", "x"], ["chat", "x", "--base"]):
        code, told = says(tmp_path, *command, **codex)
        assert (code, told.splitlines()[0]) == (1, f"codex-tui: The runs in {runs} can't be read: {why}."), told
    code, told = says(tmp_path, "demo", "--headless", "--python", python, **codex)
    assert code == 1
    assert f"can't be made: {made}." in told
    runs.chmod(0o700)


def test_one_closed_run_hides_no_other(tmp_path: Path) -> None:
    for name in ("open", "closed"):
        run = tmp_path / "data" / "runs" / name
        run.mkdir(parents=True)
        (run / "config.json").write_text("{}")
    run.chmod(0)
    code, told = says(tmp_path, "runs", CODEX_TUI_HOME=str(tmp_path))
    assert code == 0
    assert "open" in told and "closed" not in told
    run.chmod(0o700)


def test_without_home_the_system_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "CODEX_TUI_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert locations.data_home() == Path(pwd.getpwuid(os.getuid()).pw_dir) / ".local/share/codex-tui"
    monkeypatch.setenv("HOME", "")
    assert locations.data_home() == Path(pwd.getpwuid(os.getuid()).pw_dir) / ".local/share/codex-tui"
    monkeypatch.setenv("HOME", "here")
    monkeypatch.chdir(tmp_path)
    assert locations.data_home() == tmp_path / "here" / ".local/share/codex-tui"  # a trainer stands elsewhere


@pytest.mark.parametrize(
    "arguments",
    [["runs"], ["demo", "--headless"], ["train", "demo", "--headless"], ["attach"], ["setup"], ["doctor"], []],
)
def test_where_nobody_knows_a_home_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "CODEX_TUI_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "codex-tui: Your home folder is unknown: HOME is not set.\nSet HOME, or CODEX_TUI_HOME to a folder.\n"
    )


@pytest.mark.parametrize("inside", ["", "deeper/still"])
@pytest.mark.parametrize("command", ["demo --headless", "doctor", "runs", "setup", "profile list"])
def test_a_file_in_place_of_codex_tui_home(tmp_path: Path, command: str, inside: str) -> None:
    home = tmp_path / "mine"
    home.write_text("mine")
    code, told = says(tmp_path, *command.split(), CODEX_TUI_HOME=str(home / inside))
    what = str(home) if inside else "that"
    assert (code, told) == (
        2,
        f"codex-tui: CODEX_TUI_HOME names {home / inside}, and {what} is a file, not a folder.\n"
        "Set CODEX_TUI_HOME to a folder, or unset it.\n",
    )


def test_a_stop_that_can_not_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        monkeypatch.setenv("CODEX_TUI_HOME", str(disk))
        run = make_run("a", ev.Started(attempt=1, pid=1), alive=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, told = says(tmp_path, "stop", "a", CODEX_TUI_HOME=str(disk))
    assert (code, told) == (
        1,
        f"codex-tui: {run.control}: Read-only file system.\n"
        "Make it writable (it is mounted read-only), then try it again.\n",
    )
