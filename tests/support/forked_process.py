"""A process that another one has forked for this one: `subprocess.Popen` for what is no child."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess


class ForkedProcess(subprocess.Popen[str]):
    """`ended` is the pipe on which the exit code comes."""

    def __init__(self, arguments: list[str], pid: int, ended: int, files: dict[str, io.TextIOWrapper | None]) -> None:
        self._child_created = False  # `Popen` has nothing to wait for
        self.args, self.pid, self._ended = arguments, pid, ended
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = files["stdin"], files["stdout"], files["stderr"]

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(os.read(self._ended, 100))
            os.close(self._ended)
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
