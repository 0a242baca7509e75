"""A real terminal for tests: a program in a pty, its screen kept by pyte, every byte it sent kept too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence

import psutil
import pyte

PATIENCE = 120.0  # seconds that a program may take for one step; only a test that fails waits that long
TRAINING_PATIENCE = 600.0  # the same, for a run on the demo model
KEYS = {"enter": "\r", "esc": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B", "ctrl+c": "\x03", "ctrl+q": "\x11"}

# What a terminal answers when it is asked: device attributes, cursor position, mode 2026 not known.
REPLIES = {b"\x1b[c": b"\x1b[?62;22c", b"\x1b[6n": b"\x1b[1;1R", b"\x1b[?2026$p": b"\x1b[?2026;0$y"}

# pyte takes these private forms for plain ones and would draw them.
NOT_FOR_PYTE = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b\[\?u|\x1bP.*?\x1b\\", re.DOTALL)


class Terminal:
    """`command` in a pty of `columns` x `rows`. Use as a context manager; leaving it hangs up."""

    def __init__(
        self, command: Sequence[str], *, columns: int = 120, rows: int = 36, env: Mapping[str, str] | None = None
    ):
        self.received = bytearray()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.pid, self._descriptor = pty.fork()
        if not self.pid:
            environment = {**os.environ, **(env or {}), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            try:
                os.execvpe(command[0], list(command), environment)
            finally:
                os._exit(127)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._code: int | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def read(self, seconds: float = 0.0) -> bytes:
        """What comes within `seconds`, fed to the screen as well."""
        new = bytearray()
        deadline = time.monotonic() + seconds
        while True:
            wait = max(0.0, deadline - time.monotonic())
            if not select.select([self._descriptor], [], [], min(wait, 0.1))[0]:
                if wait <= 0:
                    return bytes(new)
                continue
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:
                return bytes(new)
            if not data:
                return bytes(new)
            new += data
            self.received += data
            for question, answer in REPLIES.items():
                if question in data:
                    os.write(self._descriptor, answer)
            self._stream.feed(NOT_FOR_PYTE.sub(b"", data))

    def settle(self, quiet: float = 0.4, timeout: float = PATIENCE) -> None:
        """Read until, for `quiet` seconds, nothing came and the program slept. One that only gets no time on a busy
        machine does not sleep: it is ready to run."""
        program = psutil.Process(self.pid)
        deadline, since = time.monotonic() + timeout, time.monotonic()
        while time.monotonic() < min(since + quiet, deadline):
            if self.read(0.02) or program.status() == psutil.STATUS_RUNNING:
                since = time.monotonic()

    def until(self, pattern: str, timeout: float = PATIENCE) -> str:
        """Read until the screen matches `pattern`, and return the screen. Fails with the screen if it never does."""
        self.until_true(lambda: re.search(pattern, self.text), f"the screen never showed {pattern!r}", timeout)
        return self.text

    def until_step(self, step: int) -> None:
        """Read until the cockpit's header shows this step or a later one."""
        self.until_true(lambda: self.step >= step, f"the header never showed step {step}")

    def until_true(self, reached: Callable[[], object], complaint: str, timeout: float = PATIENCE) -> None:
        """Read until `reached()` is true."""
        deadline = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < deadline, f"{complaint}:\n{self.text}"
            self.read(0.1)

    @property
    def step(self) -> int:
        """That of the cockpit's header; 0 where there is none yet."""
        found = re.search(r"step\s+([\d,]+) / ", self.text)
        return int(found[1].replace(",", "")) if found else 0

    @property
    def dots(self) -> int:
        """The cells of a curve that have something in them."""
        return len(re.findall("[\u2801-\u28ff]", self.text))

    def until_drawn(self, dots: int) -> None:
        """Read until that many Braille cells of a curve are on the screen: it comes after the words around it."""
        self.until(rf"([\u2801-\u28ff][^\u2801-\u28ff]*){{{dots}}}")

    def answer_to(self, key: str) -> bytes:
        """Send a key that changes the screen, and return all that the program writes for it."""
        before = len(self.received)
        self.send(key)
        self.until_true(lambda: len(self.received) > before, f"nothing came of the key {key!r}")
        self.settle()
        return bytes(self.received[before:])

    def type(self, *keys: str) -> None:
        """Send keys by name, or text as it is, and read what comes of each. A key that follows Escape too soon would be
        Alt and that key; a screen that changes by itself never settles, hence the limit."""
        for key in keys:
            self.send(key)
            self.settle(quiet=0.3 if key == "esc" else 0.15, timeout=5.0)

    def send(self, key: str) -> None:
        """Sends a key and reads nothing."""
        os.write(self._descriptor, KEYS.get(key, key).encode())

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def cells(self) -> list[tuple[object, ...]]:
        """Every cell with its character, colours and attributes."""
        columns, rows = self._screen.columns, self._screen.lines
        return [tuple(self._screen.buffer[y][x]) for y in range(rows) for x in range(columns)]

    @property
    def unread(self) -> int:
        """Bytes that the program has written and that wait to be read; at most a pty's buffer."""
        return int(struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, b"\0" * 4))[0])

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code of the program, once it has ended by itself."""
        deadline = time.monotonic() + timeout
        while self._code is None:
            assert time.monotonic() < deadline, f"the program did not end:\n{self.text}"
            self.read(0.05)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def close(self) -> None:
        """Close the terminal hard, as a lost link or a closed window does."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def hang_up(self) -> None:
        """Close the terminal hard, and wait until the program is gone."""
        self.close()
        if self._code is None:
            for sent in (signal.SIGHUP, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, sent)
                for _ in range(100):
                    ended, status = os.waitpid(self.pid, os.WNOHANG)
                    if ended:
                        self._code = os.waitstatus_to_exitcode(status)
                        return
                    time.sleep(0.05)
