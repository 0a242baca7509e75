"""Commands and files over the real ssh, to a real sshd on this machine."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from support.sshd import Box

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import Progress, ignore_progress
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import RemoteFailed, Unreachable
from codex_tui.engines.ssh.results import fetch_results, hash_files
from training.contract.run_directory import RunDirectory

NOISY = "echo Welcome to the box; echo and mind the step >&2\n"


@pytest.fixture(params=["", NOISY], ids=["quiet", "noisy"])
def connection(request: pytest.FixtureRequest, box: Box) -> Connection:
    """A connection to a box whose login shell prints nothing, or text."""
    (box.home / ".bashrc").write_text(request.param)
    return Connection("box")


def test_commands_get_their_arguments_and_their_input_byte_for_byte(connection: Connection) -> None:
    words = ["a b", "it's", '"$HOME"', "*", "", "-n", "ä\n;"]
    data = os.urandom(100_000)

    assert connection.run(["printf", "%s|", *words]).decode() == "".join(f"{word}|" for word in words)
    assert connection.run(["cat"], data) == data


def test_a_command_that_fails_says_why_without_the_text_of_the_shell(connection: Connection) -> None:
    with pytest.raises(RemoteFailed) as failed:
        connection.run(["sh", "-c", "echo no such thing >&2; exit 3"])

    assert (failed.value.code, failed.value.stderr) == (3, "no such thing\n")
    assert failed.value.message == "sh failed on box (exit code 3): no such thing"
    with pytest.raises(RemoteFailed) as failed:  # 255 alone would mean that ssh failed
        connection.run(["sh", "-c", "exit 255"])
    assert failed.value.code == 254


def test_a_stream_gives_each_line_as_it_comes_and_ends_its_command(connection: Connection, box: Box) -> None:
    unique = f"4000{os.getpid()}"
    with connection.stream(["sh", "-c", f"echo one; read -r never; echo two; exec sleep {unique}"]) as stream:
        assert b"".join(iter(lambda: stream.read(1), b"\n")) == b"one"
        assert stream.read() == b"two\n"  # its stdin is empty
        box.wait_for_process(unique, alive=True)
    box.wait_for_process(unique, alive=False)


@pytest.mark.parametrize("way", ["cut", "killed"])
def test_a_cut_stream_is_unreachable_and_ends_its_command(way: str, box: Box) -> None:
    unique = f"4001{os.getpid()}"
    with Connection("box").stream(["sh", "-c", f"echo one; exec sleep {unique}"]) as stream:
        assert stream.read() == b"one\n"
        box.link.cut() if way == "cut" else box.kill_sessions()
        with pytest.raises(Unreachable, match="connection was cut"):
            stream.finish()
    box.wait_for_process(unique, alive=False)
    box.link.restore()
    assert Connection("box").run(["echo", "again"]) == b"again\n"


def test_a_silent_link_is_unreachable_after_the_timeout(box: Box) -> None:
    connection = Connection("box")
    connection.run(["true"])
    box.link.silence()
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        connection.run(["true"], timeout=1)
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        connection.stream(["true"], timeout=1)


def test_files_go_there_and_come_back(connection: Connection, box: Box, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "data.bin").write_bytes(data)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "file").symlink_to(tmp_path / "data.bin")
    reports: list[Progress] = []

    files = {"a/config.json": b"{}", "data.bin": tmp_path / "data.bin", "folder": tmp_path / "folder"}
    target = box.home / "a place" / "new"
    assert connection.send(files, str(target), reports.append)
    assert not connection.send({"other": b""}, str(target))  # it stays as it is

    assert (target / "a" / "config.json").read_bytes() == b"{}"
    assert (target / "folder" / "deep" / "file").read_bytes() == data
    assert {path.stat().st_mode & 0o077 for path in target.rglob("*")} == {0}
    assert [path.name for path in target.parent.iterdir()] == ["new"]
    assert reports[-1].total == 2 * len(data) + 2

    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "older").touch()
    connection.fetch(str(target), tmp_path / "back")
    assert (tmp_path / "back" / "data.bin").read_bytes() == data
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["a", "data.bin", "folder"]


def test_a_fetch_that_is_cut_leaves_what_was_there(box: Box, tmp_path: Path) -> None:
    (box.home / "much").mkdir()
    (box.home / "much" / "zeros").write_bytes(bytes(80_000_000))
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "older").touch()

    def cut(progress: Progress) -> None:
        box.link.cut()

    with pytest.raises(Unreachable):
        Connection("box").fetch(str(box.home / "much"), tmp_path / "back", cut)
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["older"]
    assert not list(tmp_path.glob(".back*"))


def test_a_result_that_changes_while_it_is_fetched_leaves_the_older_one(box: Box, tmp_path: Path) -> None:
    there, run = box.home / "run", RunDirectory(tmp_path / "run")
    (there / "adapter").mkdir(parents=True)
    (there / "adapter" / "model").write_bytes(b"newer")
    run.adapter.mkdir(parents=True)
    (run.adapter / "older").touch()
    (run.path / ".adapter.killed").mkdir()  # what a fetch left that was killed

    with pytest.raises(CodexError, match="adapter changed on box while it was fetched"):
        fetch_results(Connection("box"), str(there), run, {"adapter": {"model": (5, "0" * 64)}}, ignore_progress)
    assert [path.name for path in run.path.rglob("*")] == ["adapter", "older"]

    assert fetch_results(
        Connection("box"), str(there), run, {"adapter": hash_files(there / "adapter")}, ignore_progress
    )
    assert [path.name for path in run.path.rglob("*")] == ["adapter", "model"]


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("stranger", "its host key is unknown here"),
        ("refuser", "it refuses the login"),
        ("closed", "it refuses connections at its ssh port"),
        ("no-such-host.invalid", "there is no such host name|host names can't be looked up now"),
    ],
)
def test_each_way_to_fail_has_one_reason(box: Box, host: str, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason) as unreachable:
        Connection(host).run(["true"])
    assert unreachable.value.hint


def test_a_shell_that_runs_nothing_is_explained(box: Box) -> None:
    (box.home / ".bashrc").write_text("echo This account is for file transfers.; exit 0\n")
    with pytest.raises(Unreachable, match="its login shell does not run commands"):
        Connection("box").run(["true"])


def test_all_commands_share_one_connection_whose_socket_is_private(box: Box) -> None:
    connection = Connection("box")
    peers = {connection.run(["sh", "-c", "echo $SSH_CLIENT"]) for _ in range(3)}
    folder = Path(os.environ["XDG_RUNTIME_DIR"], "codex-tui")

    assert len(peers) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    (master,) = [path for path in folder.iterdir() if path.is_socket()]
    check = ["ssh", "-o", f"ControlPath={master}", "-O", "check", "box"]
    assert subprocess.run(check, capture_output=True).returncode == 0


def test_the_connection_ends_by_itself(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.engines.ssh.link.master.KEEP_SECONDS", 2)
    with Connection("box").stream(["sleep", "60"]):  # which it outlives
        (master,) = Path(os.environ["XDG_RUNTIME_DIR"], "codex-tui").glob("*[!k]")
    while master.exists():  # its process removes it at its end
        time.sleep(0.05)
