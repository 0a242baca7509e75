"""Detects WSL (Linux under Windows), where page-locked memory is scarce and the allocator's segments can't grow."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def wsl(proc: Path = Path("/proc")) -> int:
    """Return the version of the Windows Subsystem for Linux, 1 or 2; 0 if this is not WSL."""
    with suppress(OSError):
        version = (proc / "version").read_text().lower()
        if "microsoft" in version or (proc / "sys/fs/binfmt_misc/WSLInterop").exists():
            # WSL1 reports the Linux 4.4 that it imitates; WSL2 runs a kernel of its own.
            return 1 if "version 4.4.0" in version else 2
    return 0
