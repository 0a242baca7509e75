"""A command that asks the machine of a run shows how far the results have come from there."""

from __future__ import annotations

import threading
import time

import pytest
from support.engine_runs import put_on_box
from support.fake_engine import FakeEngine, use_fake_engine
from support.fake_runs import make_run

from codex_tui.base.progress import Progress
from codex_tui.cli import main
from codex_tui.commands import progress
from codex_tui.runs.fetching import publish_progress
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize(
    "command", [["attach", "demo-1", "--headless"], ["stop", "demo-1"], ["runs", "rm", "demo-1", "--yes"]]
)
def test_a_fetch_of_this_or_another_process_is_shown(
    command: list[str], elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_engine(monkeypatch)
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.05)
    monkeypatch.setattr("codex_tui.commands.results.LOOK_SECONDS", 0.05)
    printed: list[str] = []
    monkeypatch.setattr(progress._Printer, "_print", lambda _, line: printed.append(line))
    run = make_run("demo-1", ev.Started(attempt=1, pid=7), ev.Done(step=1))
    record = put_on_box(run, "running")
    line = "fetching adapter from box  20.0 of 80.0 MB"
    is_shown = threading.Event()

    def fetch() -> None:
        with publish_progress(run) as report:
            report(Progress("fetching adapter from box", 20_000_000, 80_000_000, seconds_left=40.0))
            deadline = time.monotonic() + 60
            while not any(each.startswith(line) and each.endswith("about 0:40 left") for each in printed):
                assert time.monotonic() < deadline, printed
                time.sleep(0.01)
        is_shown.set()

    def fetch_here(_: FakeEngine, run: RunDirectory) -> bool:
        if not elsewhere and not is_shown.is_set():
            fetch()
        elif elsewhere:
            is_shown.wait(60)
        FakeEngine.answers["demo-1"] = type(record)("ssh", host="box", folder=record.folder, status="gone", seen=1.0)
        return True

    monkeypatch.setattr(FakeEngine, "fetch", fetch_here)
    other = threading.Thread(target=fetch)
    if elsewhere:
        other.start()
    main(command)
    if elsewhere:
        other.join()
    assert is_shown.is_set()
