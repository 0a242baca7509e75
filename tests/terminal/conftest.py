"""The installed command, as a terminal starts it."""

import shutil
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def codex_tui() -> str:
    """The path of the `codex-tui` that belongs to this interpreter."""
    beside = Path(sys.executable).with_name("codex-tui")
    found = str(beside) if beside.exists() else shutil.which("codex-tui")
    assert found, "codex-tui is not installed: python3 -m pip install '.[test]'"
    return found
