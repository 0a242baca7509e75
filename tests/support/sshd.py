"""A real sshd on this machine, with keys, a port and a configuration of its own, and a link to it that can be cut.

The tests' `ssh` is a program on PATH that adds `-F CONFIG`. That file knows these hosts: `box` (through the link),
`stranger` (its host key is unknown), `refuser` (it accepts no key of ours), `closed` (nothing listens at its port).
"""

from __future__ import annotations

import contextlib
import getpass
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from codex_tui.base.progress import ignore_progress
from codex_tui.engines.ssh.remote import remotes
from codex_tui.engines.ssh.remote.remotes import Remote
from codex_tui.engines.ssh.remote.setup import set_up

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SSH = shutil.which("ssh")
PRIVILEGE_FOLDER = Path("/run/sshd")  # sshd wants it when root starts it


class Link:
    """Forwards a port of this machine to another one. Tests cut it, or silence it as a lost network does."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = threading.Event()
        self._open.set()
        self.refuses = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def silence(self) -> None:
        """Forward nothing more, and keep every connection open."""
        self._open.clear()

    def cut(self) -> None:
        """Close every connection, and each new one at once."""
        self.refuses = True
        self._close_all()

    def restore(self) -> None:
        """Forward again. Connections that were silent are closed: their other end has given up."""
        if not self._open.is_set():
            self._close_all()
        self._open.set()
        self.refuses = False

    def close(self) -> None:
        self._listener.close()
        self._open.set()
        self._close_all()

    def _close_all(self) -> None:
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            if self.refuses:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._pairs.append((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass
class Box:
    """The other machine: this one, seen through ssh. `home` is its user's home folder."""

    folder: Path
    home: Path
    link: Link
    server: subprocess.Popen[bytes]

    def kill_sessions(self) -> None:
        """Kill the processes of sshd that serve connections. What they have started lives on."""
        for process in psutil.Process(self.server.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == "sshd":
                    process.kill()

    def wait_for_process(self, argument: str, *, alive: bool, seconds: float = 60) -> None:
        """Wait until a process with this argument runs, or no longer does."""
        end = time.monotonic() + seconds
        while any(argument in process.info["cmdline"] for process in psutil.process_iter(["cmdline"], [])) != alive:
            assert time.monotonic() < end, f"{argument} is {'not ' if alive else ''}there"
            time.sleep(0.05)


def shadow(box: Box, name: str, script: str) -> None:
    """Put a program before the one of this name over there."""
    (box.home / "bin").mkdir(exist_ok=True)
    (box.home / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (box.home / "bin" / name).chmod(0o700)
    (box.home / ".bashrc").write_text('export PATH="$HOME/bin:$PATH"\n')


def find_obstacle() -> str:
    """Why no sshd can run here; "" if one can."""
    if SSHD is None or SSH is None:
        return "sshd and ssh are needed: apt install openssh-server"
    if os.geteuid() == 0:
        PRIVILEGE_FOLDER.mkdir(mode=0o755, exist_ok=True)
    return ""


@contextlib.contextmanager
def start_box(folder: Path) -> Iterator[Box]:
    home, keys = folder / "home", folder / "keys"
    for place in (home, keys, folder / "bin"):
        place.mkdir(parents=True)
    for name in ("host", "client", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    shutil.copy(keys / "client.pub", keys / "authorized")
    port = find_free_port()
    (folder / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1:{port}
HostKey {keys}/host
AuthorizedKeysFile {keys}/authorized
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
SetEnv HOME={home}
""")
    assert SSHD is not None and SSH is not None
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "sshd_config"], stdin=subprocess.DEVNULL, stderr=log
        )
    link = Link(port)
    try:
        wait_for_port(port, server, folder / "sshd.log")
        write_client_config(folder, link.port, port)
        yield Box(folder, home, link, server)
    finally:
        link.close()
        for process in psutil.Process(server.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.kill()
        server.wait()


def write_client_config(folder: Path, link: int, port: int) -> None:
    keys = folder / "keys"
    key = (keys / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:{link} {key}[127.0.0.1]:{port} {key}")
    common = f"User {getpass.getuser()}\n HostName 127.0.0.1\n IdentitiesOnly yes\n GlobalKnownHostsFile /dev/null\n"
    closed = find_free_port()
    hosts = {
        "box": (link, "known", "client"),
        "stranger": (port, "none", "client"),
        "refuser": (port, "known", "other"),
        "closed": (closed, "known", "client"),
    }
    (folder / "ssh_config").write_text(
        "".join(
            f"Host {name}\n {common} Port {number}\n"
            f" UserKnownHostsFile {folder / known}\n IdentityFile {keys / identity}\n"
            for name, (number, known, identity) in hosts.items()
        )
    )
    ssh = folder / "bin" / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {SSH} -F {folder}/ssh_config "$@"\n')
    ssh.chmod(0o755)


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as greeted:
                select.select([greeted], [], [])
                return
        except ConnectionRefusedError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.02)


@pytest.fixture(scope="session")
def shared_box() -> Iterator[Box]:
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    with tempfile.TemporaryDirectory(prefix="box-") as folder, start_box(Path(folder)) as box:
        yield box


@pytest.fixture(scope="session")
def box_root(shared_box: Box) -> Path:
    """The folder of the app over there. It is the same for all tests, so that the app is installed once."""
    return shared_box.folder / "root"


@pytest.fixture
def remote(box: Box, box_root: Path, trainer_python: Path) -> Remote:
    """The remote "box", added and set up: it trains with the shared environment, and it has no runs."""
    added = Remote("box", "box", str(box_root), str(trainer_python))
    remotes.add_remote(added)
    set_up(added, ignore_progress)
    shutil.rmtree(box_root / "data", ignore_errors=True)
    return added


@pytest.fixture
def box(shared_box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """The other machine, with `ssh` on PATH, an empty home over there, and a home of the app here. The connections of
    the test end with it."""
    shutil.rmtree(shared_box.home)
    shared_box.home.mkdir()
    monkeypatch.setenv("PATH", f"{shared_box.folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "here"))
    with tempfile.TemporaryDirectory(prefix="run-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield shared_box
        shared_box.link.restore()
        for master in Path(runtime, "codex-tui").glob("*[!k]"):
            command = ["ssh", "-o", f"ControlPath={master}", "-O", "exit", "any"]
            subprocess.run(command, capture_output=True, check=False)
