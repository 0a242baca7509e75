"""What tests of every kind share: one training environment, and a home of its own for each test."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.pilot import wait_for_idle

from codex_tui.base.progress import Progress
from codex_tui.environment import build

TESTS = Path(__file__).parent

# All models here are tiny: threads would wait for each other longer than they work. The trainer does this for the demo.
os.environ["OMP_NUM_THREADS"] = "1"

# What the app draws depends on the terminal that pytest is started in. The snapshots are those of TERM=xterm.
for name in ("COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "TERM_PROGRAM", "TMUX"):
    os.environ.pop(name, None)
os.environ["TERM"] = "xterm"

# The same examples every time, on however slow a machine; `pytest --hypothesis-profile=search` looks for new ones.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")


# Long files come first, so that no worker of pytest-xdist has one left when the others are done. While one worker
# trains the demo for test_demo.py, the other has the next two files, which do not need it.
FIRST_FILES = ("trainer/test_demo.py", "terminal/test_life_of_a_run.py", "trainer/test_kills.py")
FOLDERS = ("trainer", "engines", "hub", "terminal", "app", "unit")  # those with the longest files first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[int, int]:
    file = item.path.relative_to(TESTS)
    first = FIRST_FILES.index(str(file)) if str(file) in FIRST_FILES else len(FIRST_FILES)
    return first, FOLDERS.index(file.parts[0]) if file.parts[0] in FOLDERS else len(FOLDERS)


@pytest.fixture(scope="session", autouse=True)
def patient_pilot() -> Iterator[None]:
    """A key press or a pause in a test lasts until the app has dealt with it, however slow the machine."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("textual.app", "textual.pilot"):
            patch.setattr(f"{module}.wait_for_idle", wait_for_idle)
        yield


@pytest.fixture(scope="session")
def trainer_python() -> Path:
    """The real interpreter that trains; built where the person's own would be, so once for all sessions."""
    steps: set[str] = set()

    def print_step(progress: Progress) -> None:
        if progress.step not in steps:
            steps.add(progress.step)
            print(f"codex-train: {progress.step} {progress.detail}", file=sys.__stderr__, flush=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CODEX_TUI_HOME", raising=False)
        return build.ensure(print_step)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer_python: Path) -> Path:
    """CODEX_TUI_HOME, empty but for settings that name the shared interpreter."""
    root = tmp_path / "home"
    (root / "config").mkdir(parents=True)
    # A JSON string is a TOML string.
    (root / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(trainer_python))}\n")
    monkeypatch.setenv("CODEX_TUI_HOME", str(root))
    return root


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that CODEX_TUI_HOME is to be made in; the umask that most people have."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)
