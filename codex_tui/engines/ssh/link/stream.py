"""The output of a command on another machine, as it comes."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from types import TracebackType
from typing import IO

from codex_tui.engines.ssh.link.failures import FailureReader
from codex_tui.engines.ssh.link.master import Deadline


class Stream:
    """The output of a command that runs over there. `close` ends the command, unless it has ended."""

    def __init__(
        self, failures: FailureReader, program: str, process: subprocess.Popen[bytes], errors: IO[bytes]
    ) -> None:
        assert process.stdout is not None
        self._failures, self._program, self._process, self._errors = failures, program, process, errors
        self._output = process.stdout

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor to wait for, with `select`."""
        return self._output.fileno()

    def read(self, size: int = 65536) -> bytes:
        """Wait for output and return it; b"" when there is no more. Then `finish` says why."""
        return os.read(self.fileno(), size)

    def __iter__(self) -> Iterator[str]:
        """The lines of text as they come."""
        rest = b""
        while data := self.read():
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in lines)

    def read_errors(self, offset: int) -> bytes:
        """What the command has printed on stderr so far, from `offset` on. The first line is not the command's."""
        return os.pread(self._errors.fileno(), 2**20, offset)

    def finish(self) -> None:
        """Wait for the command's end. Raises Unreachable if the connection was cut, RemoteFailed if it failed."""
        while self.read():
            pass
        self._failures.check(self._program, self._process.wait(), self._errors, begun=True)

    def close(self) -> None:
        end_process(self._process)
        for file in (self._process.stdin, self._output, self._errors):
            if file is not None:
                file.close()

    def skip_to_marker(self, deadline: Deadline) -> None:
        """Skip what the startup files of the shell print."""
        seen = bytearray()
        while not seen.endswith(self._failures.marker_line):
            if not select.select([self.fileno()], [], [], deadline.seconds_left)[0]:
                raise self._failures.explain_silence(deadline)
            if not (byte := self.read(1)):
                code = self._process.wait()
                self._failures.check(self._program, code, self._errors, begun=False, before=bytes(seen))
            seen += byte


def end_process(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
