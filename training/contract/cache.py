"""The folder for files that can be made again. The app names it to the processes that it starts.

Unsloth puts a folder of the cache into `sys.path`, and a run may be copied from anywhere. So no run names its cache.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CODEX_TUI_CACHE"


def cache_home() -> Path:
    """Return the folder that the app has named, or ~/.cache/codex-tui for a process that was started by hand."""
    return Path(os.environ.get(VARIABLE) or os.path.expanduser("~/.cache/codex-tui"))  # noqa: PTH111  Path.home raises
