"""The process of ssh that keeps one connection open for all commands of this user to a host.

It is started apart from the first command: it would keep that command's pipes open. It ends a few minutes after the
last command, and nothing listens but its socket, in a folder that only this user may open.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from codex_tui.base.errors import CodexError, convert_os_error

KEEP_SECONDS = 300
# What the person's own configuration says is replaced where it would ask, print, forward or run something else.
OPTIONS = (
    "-T", "-a", "-x",
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=10",
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
    "-o", "ClearAllForwardings=yes",
    "-o", "PermitLocalCommand=no",
    "-o", "RemoteCommand=none",
    "-o", "LogLevel=ERROR",
)  # fmt: skip


class Deadline:
    """The moment until which an answer may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._end - time.monotonic())


class TooLate(Exception):
    """The deadline has passed."""


class Master(NamedTuple):
    socket: Path
    failure: str | None = None  # what ssh printed, if it could not connect


def make_environ() -> dict[str, str]:
    """The environment of ssh: neither it nor the ssh of a jump host may ask for a password in a window."""
    return {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}


def ensure_master(ssh: str, host: str, deadline: Deadline) -> Master:
    """Connect to `host`, unless a connection is open. Raises TooLate, and CodexError if there is no private folder."""
    socket = make_runtime_folder() / hashlib.sha256(os.fsencode(host)).hexdigest()[:16]
    if _is_open(ssh, host, socket):
        return Master(socket)
    with _hold_lock(socket.with_suffix(".lock"), deadline):
        if _is_open(ssh, host, socket):  # another process has connected meanwhile
            return Master(socket)
        return Master(socket, _connect(ssh, host, socket, deadline))


def make_runtime_folder() -> Path:
    """Make the folder of the sockets. A socket's path may have a hundred bytes, so that CODEX_TUI_HOME is no place."""
    user = os.getuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if re.fullmatch(r"/[\w./-]{1,50}", runtime) and os.path.isdir(runtime):  # noqa: PTH112  as `locations` does
        folder = Path(runtime, "codex-tui")
    else:
        folder = Path(f"/tmp/codex-tui-{user}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise convert_os_error(error) from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CodexError(f"{folder} is not a folder of yours alone.", "Remove it, then try it again.")
    return folder


def _is_open(ssh: str, host: str, socket: Path) -> bool:
    if not socket.exists():
        return False
    command = [ssh, "-o", f"ControlPath={socket}", "-O", "check", "--", host]
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _connect(ssh: str, host: str, socket: Path, deadline: Deadline) -> str | None:
    """Start the master. Returns what ssh printed if it could not connect."""
    keep = ["-o", f"ControlPath={socket}", "-o", "ControlMaster=auto", "-o", f"ControlPersist={KEEP_SECONDS}"]
    with tempfile.TemporaryFile() as errors:  # a pipe would stay open as long as the master
        try:
            done = subprocess.run(
                [ssh, *OPTIONS, *keep, "--", host, "exit"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=deadline.seconds_left,
                env=make_environ(),
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TooLate from None
        errors.seek(0)
        return errors.read().decode(errors="replace") if done.returncode == 255 else None


@contextmanager
def _hold_lock(path: Path, deadline: Deadline) -> Iterator[None]:
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not deadline.seconds_left:
                    raise TooLate from None
                time.sleep(0.05)
        yield
