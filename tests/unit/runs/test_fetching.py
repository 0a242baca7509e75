"""The progress of a fetch is in the run directory, so that every viewer shows it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from codex_tui.base.progress import Progress
from codex_tui.runs import fetching
from codex_tui.runs.fetching import publish_progress, read_progress
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "demo-1")
    run.create()
    return run


def test_another_viewer_reads_the_progress_with_its_estimate_until_the_fetch_ends(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert read_progress(run) is None
    with publish_progress(run) as report:
        report(Progress("fetching adapter from box", 0, 80))
        assert read_progress(run) == Progress("fetching adapter from box", 0, 80)
        now = 100.5
        report(Progress("fetching adapter from box", 10, 80))
        assert read_progress(run) == Progress("fetching adapter from box", 0, 80)  # the disk is spared
        now = 104.0
        report(Progress("fetching adapter from box", 20, 80))
        assert read_progress(run) == Progress("fetching adapter from box", 20, 80, seconds_left=12.0)
    assert read_progress(run) is None and not (run.path / fetching.FILE).exists()


def test_what_a_killed_process_left_and_what_cant_be_read_is_no_progress(run: RunDirectory) -> None:
    with publish_progress(run) as report:
        report(Progress("fetching adapter from box"))
        assert read_progress(run)
        os.utime(run.path / fetching.FILE, (time.time() - 60,) * 2)
        assert read_progress(run) is None
        (run.path / fetching.FILE).write_text("[" * 5000)
        assert read_progress(run) is None
        (run.path / fetching.FILE).unlink()
        run.path.rmdir()
        report(Progress("the run was deleted"))
