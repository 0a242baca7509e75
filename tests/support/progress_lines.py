"""Progress lines on stderr. A slow machine prints some that a fast one does not, so no test may count on either."""

from __future__ import annotations

import re

# The end of what commands/progress.py prints: the time of the step, and how long it will still take.
_PROGRESS_LINE = re.compile(r".*  \d+:\d\d(:\d\d)?(, about \d+:\d\d(:\d\d)? left)?(  .*)?")


def without_progress(stderr: str) -> str:
    """Everything a command printed on stderr beside its progress."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not _PROGRESS_LINE.fullmatch(line.rstrip("\n")))
