"""Ways to a terminal whose connection a test can cut, and a terminal that nobody reads."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.terminal import PATIENCE, Terminal
from training.contract.run_directory import RunDirectory

OPTIONS = (
    *("IdentitiesOnly=yes", "BatchMode=yes", "LogLevel=ERROR"),
    *("StrictHostKeyChecking=no", f"UserKnownHostsFile={os.devnull}"),
)


def events(run: RunDirectory) -> list[dict[str, Any]]:
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in run.events.read_bytes().split(b"\n")[:-1]]
    return []


def steps(run: RunDirectory) -> list[int]:
    return [event["step"] for event in events(run) if event["type"] == "metrics"]


def last_step(run: RunDirectory) -> int:
    return (steps(run) or [0])[-1]


def wait_until(reached: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def find_viewers(home: Path) -> list[psutil.Process]:
    """Find the apps that run with `home` as their CODEX_TUI_HOME."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("CODEX_TUI_HOME") == str(home)
            if ours and any(Path(part).name == "codex-tui" for part in process.cmdline()[:2]):
                found.append(process)
    return found


@dataclass
class LocalTerminal:
    """A terminal window on the same machine. `cut` closes it without a warning."""

    home: Path
    folder: Path

    def open(self, command: Sequence[str]) -> Terminal:
        return Terminal(command)

    def cut(self, terminal: Terminal) -> None:
        terminal.hang_up()


class TmuxTerminal(LocalTerminal):
    """A tmux session. `cut` ends the tmux server."""

    def _tmux(self, *arguments: str) -> list[str]:
        return ["tmux", "-S", str(self.folder / "tmux"), "-f", os.devnull, *arguments]

    def open(self, command: Sequence[str]) -> Terminal:
        return Terminal(self._tmux("new-session", shlex.join(command)))

    def cut(self, terminal: Terminal) -> None:
        subprocess.run(self._tmux("kill-server"), check=True)
        terminal.hang_up()


@dataclass
class SshTerminal(LocalTerminal):
    """A connection to a real sshd on the loopback interface. `cut` kills both of its ends."""

    listener: psutil.Process
    options: Sequence[str]

    def open(self, command: Sequence[str]) -> Terminal:
        remote = shlex.join(["env", f"CODEX_TUI_HOME={self.home}", "COLORTERM=truecolor", *command])
        return Terminal(["ssh", "-tt", *self.options, f"{getpass.getuser()}@127.0.0.1", remote])

    def cut(self, terminal: Terminal) -> None:
        servers = [child for child in self.listener.children(recursive=True) if child.name().startswith("sshd")]
        assert servers
        os.kill(terminal.pid, signal.SIGKILL)
        for server in servers:
            with suppress(psutil.NoSuchProcess):
                server.kill()
        terminal.hang_up()


@contextmanager
def sshd(folder: Path) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Start an sshd with its own keys, port and configuration. Yields its process, and the options with which ssh
    reaches it. CODEX_TUI_TEST_SSHD names a program other than the installed one. Skips the test if there is none."""
    program = os.environ.get("CODEX_TUI_TEST_SSHD") or shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not (program and shutil.which("ssh")):
        pytest.skip("there is no sshd (openssh-server) or no ssh on this machine")
    for name in ("host", "person"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/person.pub\n"
        "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\n"
    )
    with suppress(KeyError, OSError):
        if os.getuid() == 0 and pwd.getpwnam("sshd"):  # as its service does before it starts
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if server.poll() is not None:
                pytest.skip(f"sshd does not start here: {(folder / 'log').read_text(errors='replace')}")
            time.sleep(0.05)
        yield (
            psutil.Process(server.pid),
            ["-F", os.devnull, "-p", str(port), "-i", str(folder / "person"), *(f"-o{option}" for option in OPTIONS)],
        )
    finally:
        server.kill()
        server.wait()


@dataclass
class Stall:
    """What the app and the trainer did while nobody read the terminal."""

    start_memory: int  # bytes
    peak_memory: int
    unread: int  # bytes that wait in the terminal
    first_step: int
    last_step: int


def stall(terminal: Terminal, run: RunDirectory, seconds: float, min_steps: int) -> Stall:
    """Leave the terminal unread for `seconds`, until the run is `min_steps` further, and until the app can write no
    more: then the bytes that wait have not become more for a second. Meanwhile press a key that draws everything anew.
    """
    app = psutil.Process(terminal.pid)
    stalled = Stall(app.memory_info().rss, 0, 0, last_step(run), 0)
    began = changed = now = time.monotonic()
    while now < max(began + seconds, changed + 1) or last_step(run) < stalled.first_step + min_steps:
        assert now < began + seconds + PATIENCE, f"the app still writes, or the run stands still: {stalled}"
        terminal.send("z")
        stalled.peak_memory = max(stalled.peak_memory, app.memory_info().rss)
        time.sleep(0.1)
        now = time.monotonic()
        if terminal.unread != stalled.unread:
            stalled.unread, changed = terminal.unread, now
    stalled.last_step = last_step(run)
    return stalled
