"""A program in a pty, and when it showed what: every chunk is stamped by a thread of its own as it comes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import queue
import re
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pyte

REPLIES = {b"\x1b[c": b"\x1b[?62;22c", b"\x1b[6n": b"\x1b[1;1R", b"\x1b[?2026$p": b"\x1b[?2026;0$y"}
NOT_FOR_PYTE = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b\[\?u|\x1bP.*?\x1b\\", re.DOTALL)


class NeverShown(Exception):
    """The program ended or time was up; the text is the last screen."""


class Probe:
    """`command` in a terminal of `size` (columns, rows). A context manager; leaving it ends the program."""

    def __init__(
        self, command: Sequence[str], *, size: tuple[int, int] = (120, 36), env: Mapping[str, str] | None = None
    ) -> None:
        sys.setswitchinterval(0.0005)  # so that drawing here does not delay the stamps
        self.bytes = 0
        self.cpu_when_shown = 0.0  # seconds of CPU time that the program had used when `until` found its pattern
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._chunks: queue.Queue[tuple[float, float, bytes]] = queue.Queue()
        child_env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        ready, go = os.pipe()  # the program starts once its terminal has a size
        self.started = time.monotonic()
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            try:
                os.close(go)
                os.read(ready, 1)
                os.execvpe(command[0], list(command), child_env)
            finally:
                os._exit(127)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        os.close(ready)
        os.close(go)
        self._process = psutil.Process(self.pid)
        self._leaving = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sent)
            if self._ended(within=3.0):
                break
        self._leaving.set()
        self._reader.join()  # else it would read from the next terminal, which gets the same descriptor
        os.close(self.terminal)

    def _ended(self, within: float) -> bool:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return True
            time.sleep(0.01)
        return False

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def until(self, pattern: str, timeout: float = 60.0) -> float:
        """Seconds from the start of the program until the screen matched `pattern`."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            stamp = self._take(left)
            if stamp is None:
                break
            if wanted.search(self.text):
                return stamp - self.started
        raise NeverShown(f"{pattern!r} was never shown:\n{self.text}")

    def watch(self, seconds: float) -> tuple[float, float]:
        """Bytes a second that came, and the share of a core that the program and its children used, meanwhile."""
        came, used, began = self.bytes, self._cpu(), time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            self._take(left)
        wall = time.monotonic() - began
        return (self.bytes - came) / wall, (self._cpu() - used) / wall

    def _take(self, timeout: float) -> float | None:
        """Draws the next chunk; when it came. None where none came in time or the program has ended."""
        try:
            stamp, self.cpu_when_shown, data = self._chunks.get(timeout=timeout)
        except queue.Empty:
            return None
        if not data:
            return None
        self.bytes += len(data)
        self._stream.feed(NOT_FOR_PYTE.sub(b"", data))
        return stamp

    def _read(self) -> None:
        while not self._leaving.is_set():
            if not select.select([self.terminal], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.terminal, 65536)
            except OSError:  # the program has ended
                data = b""
            self._chunks.put((time.monotonic(), self._measure_cpu(), data))
            if not data:
                return
            for question, answer in REPLIES.items():
                if question in data:
                    os.write(self.terminal, answer)

    def _measure_cpu(self) -> float:
        """Seconds of CPU time of all threads so far, more exactly than psutil tells."""
        nanoseconds = 0
        for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                nanoseconds += int(path.read_text().split()[0])
        return nanoseconds / 1e9

    def _cpu(self) -> float:
        total = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total
