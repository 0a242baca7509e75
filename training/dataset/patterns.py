"""Searches texts with regular expressions that a person wrote. Some need longer than anyone can wait, and Python can't
stop one, so a process of its own searches: the kernel ends it after a second of CPU time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

MAX_SECONDS = 1.0  # of CPU time, for one search
MAX_MATCH = 200  # characters of a match that are returned

# The default action of SIGVTALRM ends the process, also inside `re`.
_PROGRAM = """
import json, re, signal, sys
for line in sys.stdin:
    pattern, text = json.loads(line)
    signal.setitimer(signal.ITIMER_VIRTUAL, float(sys.argv[1]))
    match = re.search(pattern, text, re.IGNORECASE)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    print(json.dumps(match and match[0][:int(sys.argv[2])]), flush=True)
"""


@dataclass(frozen=True)
class Match:
    """What a search found. `matches` is None if the pattern needs too long for this text or an earlier one. `text` is
    the beginning of what matches."""

    matches: bool | None
    text: str = ""


def search_all(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
    """Search each text with its pattern, without case. See `Match.matches`."""
    return [match.matches for match in find_all(pairs)]


def find_all(pairs: Sequence[tuple[str, str]]) -> list[Match]:
    """Search each text with its pattern, without case."""
    results: list[Match] = []
    slow: set[str] = set()
    process: subprocess.Popen[bytes] | None = None
    try:
        for pattern, text in pairs:
            if pattern in slow:
                results.append(Match(None))
                continue
            process = process or _start()
            answer = _ask(process, pattern, text)
            results.append(_read(answer))
            if not answer:
                slow.add(pattern)
                _end(process)
                process = None
    finally:
        if process:
            _end(process)
    return results


def _read(answer: bytes) -> Match:
    if not answer:
        return Match(None)
    text = json.loads(answer)
    return Match(text is not None, text or "")


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(MAX_SECONDS), str(MAX_MATCH)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )


def _ask(process: subprocess.Popen[bytes], pattern: str, text: str) -> bytes:
    """Return the match as JSON, null for none; b"" if the process was ended."""
    assert process.stdin and process.stdout
    data = memoryview(json.dumps([pattern, text]).encode() + b"\n")
    try:
        while data:
            data = data[process.stdin.write(data) :]
    except BrokenPipeError:
        return b""
    return process.stdout.readline().strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    process.kill()
    process.wait()
