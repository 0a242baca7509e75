"""A remote that is this machine: its connection starts programs here, without ssh, and can be cut."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from codex_tui.engines.ssh.link.failures import Unreachable


class NearConnection:
    """What `Connection` is to a remote. `cut` ends all that runs over there, as a cut link does."""

    host = "box"

    def __init__(self) -> None:
        self.streams: list[NearStream] = []

    def stream(self, argv: Sequence[str], timeout: float = 30.0) -> NearStream:
        self.streams.append(NearStream(argv))
        return self.streams[-1]

    def cut(self) -> None:
        for stream in self.streams:
            stream.process.kill()


class NearStream:
    def __init__(self, argv: Sequence[str]) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0
        )

    def __enter__(self) -> NearStream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self.errors.close()

    def fileno(self) -> int:
        assert self.process.stdout
        return self.process.stdout.fileno()

    def read(self, size: int = 65536) -> bytes:
        return os.read(self.fileno(), size)

    def finish(self) -> None:
        code = self.process.wait()
        self.errors.seek(0)
        if code == -signal.SIGKILL:
            raise Unreachable("box", "the connection was cut")
        assert code == 0, self.errors.read().decode()
