"""`codex-tui remote` against a real sshd on this machine: each way in which it works, and each in which it fails."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.disks import fill, mounted
from support.sshd import Box, shadow

from codex_tui.base.errors import BadInput, CodexError, EnvironmentMissing
from codex_tui.base.progress import Progress, ignore_progress
from codex_tui.cli import main
from codex_tui.engines.ssh.remote import remotes, setup
from codex_tui.engines.ssh.remote.app import RemoteApp
from codex_tui.engines.ssh.remote.installer import Installer
from codex_tui.engines.ssh.remote.remotes import Remote, find_remote, read_remotes
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

NO_NETWORK = "export UV_DEFAULT_INDEX=http://127.0.0.1:9 UV_INDEX= UV_FIND_LINKS= UV_HTTP_RETRIES=0\n"
NO_PYTHON = (
    "export UV_PYTHON_PREFERENCE=only-managed UV_HTTP_RETRIES=0\n"
    "export UV_PYTHON_INSTALL_MIRROR=http://127.0.0.1:9/python-build-standalone\n"
)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_remote_is_added_listed_and_removed(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["remote", "list"]) == 0
    assert "codex-tui remote add" in capsys.readouterr().out

    code, added = run_json(capsys, "remote", "add", "lab", "box", "--python", "/opt/python")
    assert (code, added["root"], added["machine"]["system"]) == (0, str(box.home / "codex-tui"), "Linux")
    assert (box.home / "codex-tui").stat().st_mode & 0o777 == 0o700
    assert main(["remote", "add", "other", "box", "--root", str(box.home / "a place")]) == 0
    assert "codex-tui remote setup other" in capsys.readouterr().out

    expected = [
        {"name": "lab", "host": "box", "root": str(box.home / "codex-tui"), "python": "/opt/python"},
        {"name": "other", "host": "box", "root": str(box.home / "a place"), "python": ""},
    ]
    assert run_json(capsys, "remote", "list") == (0, expected)
    assert main(["remote", "list"]) == 0
    assert "its own" in capsys.readouterr().out

    assert main(["remote", "add", "lab", "closed"]) == 2
    assert "There is a remote lab already: box" in capsys.readouterr().err
    assert main(["remote", "remove", "lab"]) == 0
    assert "Its files stay over there" in capsys.readouterr().out
    assert list(read_remotes()) == ["other"]
    assert main(["remote", "remove", "othe"]) == 2
    assert "Did you mean other?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("stranger", "its host key is unknown here"),
        ("refuser", "it refuses the login"),
        ("closed", "it refuses connections at its ssh port"),
    ],
)
def test_a_remote_that_cannot_be_reached_is_not_added(
    box: Box, capsys: pytest.CaptureFixture[str], host: str, message: str
) -> None:
    code, answer = run_json(capsys, "remote", "add", "lab", host)

    assert (code, answer["ok"], answer["message"]) == (1, False, f"lab can't be reached: {message}.")
    assert answer["hint"]
    assert not read_remotes()


@pytest.mark.parametrize(
    ("program", "script", "message"),
    [
        ("uname", "[ $1 = -s ] && echo Darwin || echo arm64", "it runs Darwin; training needs Linux"),
        ("uname", "[ $1 = -s ] && echo Linux || echo riscv64", "it is a riscv64 machine; torch is built for"),
        ("getconf", "echo glibc 2.17", "its C library is glibc 2.17; torch needs glibc 2.28"),
        ("df", "echo head; echo / 9 9 102400 9", "has 100 MiB free; the app needs 500"),
    ],
)
def test_a_machine_that_cannot_train_is_not_added(box: Box, program: str, script: str, message: str) -> None:
    shadow(box, program, script)
    with pytest.raises(CodexError, match=message) as refused:
        setup.add("lab", "box", "~/codex-tui", "")
    assert refused.value.hint
    assert not read_remotes()


def test_a_folder_that_cannot_be_written_is_refused(box: Box) -> None:
    (box.home / "file").touch()
    with pytest.raises(CodexError, match="file/root can't be written: Not a directory") as refused:
        setup.add("lab", "box", "~/file/root", "")
    assert "--root" in refused.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["local", "box"], "can't be called local"),
        (["a b", "box"], "'a b' can't be the name of a remote"),
        (["lab", "box;true"], "'box;true' is no host"),
        (["lab", "box", "--python", "python3"], "'python3' is no path over there"),
    ],
)
def test_names_that_a_shell_or_ssh_would_take_for_something_else_are_refused(
    box: Box, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["remote", "add", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[lab]\nhost = "-oProxyCommand=x"\nroot = "/a"\n', r"host of \[lab\] is wrong"),
        ('[lab]\nhost = "box"\n', r"root of \[lab\] is wrong or missing"),
        ('[lab]\nhost = "box"\nroot = "a"\n', r"root of \[lab\] is wrong"),
        ('[lab]\nhost = "box"\nroot = "/a"\nport = 3\n', r"port of \[lab\] is wrong"),
        ("lab = 1\n", r"the table of \[lab\] is wrong"),
        ("[lab\n", "line 1: not valid TOML"),
    ],
)
def test_a_damaged_file_is_named_and_stays(box: Box, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "here" / "config" / "remotes.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(BadInput, match=message) as damaged:
        find_remote("lab")
    assert str(file) in damaged.value.message
    with pytest.raises(BadInput, match=message):
        setup.add("other", "box", "~/codex-tui", "")
    assert file.read_text() == text


def test_setup_makes_the_box_ready_and_its_own_app_answers(
    remote: Remote, box: Box, box_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (box.home / ".bashrc").write_text("echo Welcome to the box; echo and mind the step >&2\n")
    code, answer = run_json(capsys, "remote", "setup", "box")
    assert (code, answer["ok"], answer["python"], answer["managed"]) == (0, True, remote.python, False)
    python = Path(RemoteApp(remote).python)
    python.unlink()
    python.symlink_to("/usr/bin/python-that-was-removed")  # by an update of the system
    assert main(["remote", "setup", "box"]) == 0
    assert "codex-tui train PROFILE --on box" in capsys.readouterr().out

    code, answer = run_json(capsys, "remote", "doctor", "box")
    states = {finding["topic"]: finding["state"] for finding in answer["findings"]}
    assert (code, answer["ok"]) == (0, True)
    assert states["connection"] == states["machine"] == states["app"] == states["trainer"] == "ok"

    app = RemoteApp(remote)
    assert app.call("runs", "--json") == []
    with pytest.raises(BadInput, match="box: There are no runs yet"):
        app.call("stop", "last")
    with pytest.raises(BadInput, match="box: unrecognized arguments: --nothing"):
        app.call("runs", "--nothing")
    version = subprocess.run([box_root / "bin" / "codex-tui", "--version"], capture_output=True, text=True)
    assert version.stdout.startswith("codex-tui ")


def test_old_versions_that_nothing_uses_are_deleted(remote: Remote, box_root: Path) -> None:
    app = RemoteApp(remote)
    installer = Installer(app.connection, remote, app.make_command())
    trainer_path = box_root / "cache" / "trainer-path" / "123456abcdef"
    trainer_path.mkdir(parents=True)
    for name in ("0.0.1-old", "0.0.2-command", "0.0.3-trainer", "0.0.4-new"):
        (box_root / "app" / name / "training").mkdir(parents=True)
    (trainer_path / "training").symlink_to(box_root / "app" / "0.0.3-trainer" / "training")
    for folder in (box_root / "app").iterdir():
        if not folder.name.startswith("0.0.4"):
            os.utime(folder, (0, 0))
    command = ["sleep", "600"]
    users = [
        subprocess.Popen(command, env={"PYTHONPATH": str(trainer_path), "PATH": os.environ["PATH"]}),
        subprocess.Popen(
            ["sh", "-c", "read -r x", str(box_root / "app" / "0.0.2-command" / "x")], stdin=subprocess.PIPE
        ),
    ]
    try:
        installer.delete_old_versions()
    finally:
        for user in users:
            user.kill()
            user.wait()
    names = {folder.name for folder in (box_root / "app").iterdir()}
    assert {name for name in names if name.startswith("0.0.")} == {"0.0.2-command", "0.0.3-trainer", "0.0.4-new"}
    assert app.is_installed()
    installer.delete_old_versions()
    assert not (box_root / "app" / "0.0.3-trainer").exists()


def test_progress_over_there_is_progress_here(remote: Remote) -> None:
    reports: list[Progress] = []
    slow = (
        "import time; from codex_tui.commands.progress import print_progress; from codex_tui.base.progress import *\n"
        "with print_progress('codex-train: ') as report:\n"
        "    report(Progress('installing', 3, 80, 'packages', seconds_left=70)); time.sleep(1.2)\n"
        "print('[1]')"
    )
    app = RemoteApp(remote)
    app.make_command = lambda *arguments: [app.python, "-P", "-c", slow]  # type: ignore[method-assign]

    assert app.call("slow", report=reports.append) == [1]
    assert Progress("codex-train: installing", 3, 80, "packages", seconds_left=70) in reports


def test_a_remote_whose_run_may_train_is_kept(box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remotes.add_remote(Remote("lab", "box", "/lab"))
    run = RunDirectory(tmp_path / "here" / "data" / "runs" / "novel-1")
    run.path.mkdir(parents=True)
    run.events.touch()
    run.write_engine(EngineRecord("ssh", host="lab", status="unreachable", submitted=time.time()))

    assert main(["remote", "remove", "lab"]) == 2
    assert "The run novel-1 may still train on lab" in capsys.readouterr().err
    assert run_json(capsys, "remote", "remove", "lab", "--force")[1]["root"] == "/lab"
    assert not read_remotes()


def test_doctor_names_what_is_missing(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["remote", "add", "lab", "box"]) == 0
    code, answer = run_json(capsys, "remote", "doctor", "lab")
    app = next(finding for finding in answer["findings"] if finding["topic"] == "app")
    assert (code, app["state"], app["advice"]) == (3, "bad", "codex-tui remote setup lab")

    box.link.cut()
    code, answer = run_json(capsys, "remote", "doctor", "lab")
    assert (code, answer["findings"][0]["topic"], answer["findings"][0]["state"]) == (1, "connection", "bad")


def test_setup_without_a_network_says_so(box: Box) -> None:
    remote, _ = setup.add("lab", "box", "~/codex-tui", "")
    (box.home / ".bashrc").write_text(NO_NETWORK)
    with pytest.raises(EnvironmentMissing, match="lab: The package registry cannot be reached"):
        setup.set_up(remote, ignore_progress)
    (box.home / ".bashrc").write_text(NO_PYTHON)
    with pytest.raises(EnvironmentMissing, match=r"lab has no Python 3\.11 to 3\.13, and can't download one"):
        setup.set_up(remote, ignore_progress)
    assert not Path(RemoteApp(remote).python).exists()


def test_setup_without_uv_and_without_python_says_so(box: Box) -> None:
    remote, _ = setup.add("lab", "box", "~/codex-tui", "")
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"  # our own uv can't run there
    shadow(box, "uname", f"[ $1 = -s ] && echo Linux || echo {other}")
    for name in ("uv", "python3", "python3.11", "python3.12", "python3.13"):
        shadow(box, name, "exit 1")
    (box.home / "bin" / "uv").unlink()
    with pytest.raises(CodexError, match="lab has neither uv nor a Python"):
        setup.set_up(remote, ignore_progress)


def test_setup_on_a_full_disk_says_so(box: Box, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=3m") as disk:
        remote = Remote("lab", "box", str(disk / "root"))
        shadow(box, "df", "echo head; echo / 9 9 1024000 9")  # it fills up later
        with pytest.raises(CodexError, match=r"failed on lab .*No space left on device") as full:
            setup.set_up(remote, ignore_progress)
        assert "Free some space" in full.value.hint
        assert not list(disk.glob("root/app/*.*.*"))
        fill(disk)
        (box.home / ".bashrc").unlink()
        with pytest.raises(CodexError, match="has 0 MiB free; the app needs"):
            setup.add("lab", "box", str(disk / "root"), "")
