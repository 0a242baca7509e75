"""Commands that a test calls in its own process."""

from __future__ import annotations

import pytest

from codex_tui.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> str:
    """Run `codex-tui ARGUMENTS`, which must end with `exit_code`, and return everything that it prints."""
    assert main([*arguments]) == exit_code
    out, err = capsys.readouterr()
    return out + err
