"""Keeps trainer.log from filling the disk."""

from __future__ import annotations

import os
from pathlib import Path

LOG_MOST = 16 * 2**20  # bytes: a library that prints in a loop must not fill the disk


LOG_FIRST, LOG_LAST = 2**20, 7 * 2**20  # what is kept of one that was longer


LEFT_OUT = b"\n... the log grew beyond %d MiB: what stood here was left out ...\n"


def bound(log: Path) -> None:
    """Takes the middle out of a log that has grown too long, in place: the trainer goes on appending to it."""
    if log.stat().st_size <= LOG_MOST:
        return
    descriptor = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        last = os.pread(descriptor, LOG_LAST, os.fstat(descriptor).st_size - LOG_LAST)
        os.ftruncate(descriptor, LOG_FIRST)
        os.write(descriptor, LEFT_OUT % (LOG_MOST >> 20) + last[last.find(b"\n") + 1 :])
    finally:
        os.close(descriptor)
