"""Keeps trainer.log from filling the disk, and reads its end."""

from __future__ import annotations

import os
from pathlib import Path

from training.contract import files
from training.contract.secrets import redact_secrets

MAX_END_BYTES = 64 * 1024
MAX_LOG_BYTES = 16 * 2**20  # so that a library that prints in a loop can't fill the disk
BYTES_KEPT_AT_START, BYTES_KEPT_AT_END = 2**20, 7 * 2**20
GAP = b"\n... the log grew beyond %d MiB; the lines that were here are left out ...\n"


def read_last_lines(log: Path, lines: int) -> list[str]:
    """Return the last lines of a log without secrets; [] if it can't be read."""
    try:
        with files.open_file(log) as file:
            file.seek(max(0, log.stat().st_size - MAX_END_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return redact_secrets(text).splitlines()[-lines:]


def trim_log(log: Path) -> None:
    """Cut the middle out of a log that has grown too long. The file stays the same one, so the trainer can go on
    appending to it."""
    if log.stat().st_size <= MAX_LOG_BYTES:
        return
    descriptor = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        end = os.pread(descriptor, BYTES_KEPT_AT_END, os.fstat(descriptor).st_size - BYTES_KEPT_AT_END)
        os.ftruncate(descriptor, BYTES_KEPT_AT_START)
        os.write(descriptor, GAP % (MAX_LOG_BYTES >> 20) + end[end.find(b"\n") + 1 :])
    finally:
        os.close(descriptor)
