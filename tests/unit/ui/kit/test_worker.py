"""A worker that is cancelled before its first step leaves nothing behind."""

from __future__ import annotations

import gc
import warnings
from functools import partial
from pathlib import Path

from textual.app import App

import codex_tui.ui
from codex_tui.ui.kit.worker import start_worker


class _Begins(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.done: list[int] = []

    async def note(self, number: int) -> None:
        self.done.append(number)


async def test_the_next_one_of_its_group_and_the_end_of_the_app_cancel_a_worker_without_a_warning() -> None:
    app = _Begins()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with app.run_test() as pilot:
            workers = [start_worker(app, partial(app.note, number), exclusive=True) for number in range(3)]
            await workers[-1].wait()
            await pilot.pause()
            last = start_worker(app, lambda: app.note(9))
            last.cancel()
        gc.collect()
    assert app.done == [2]
    assert [str(warning.message) for warning in caught if "never awaited" in str(warning.message)] == []


def test_all_workers_of_the_app_are_started_so() -> None:
    folder = Path(codex_tui.ui.__file__).parent
    files = [path.name for path in folder.rglob("*.py") if ".run_worker(" in path.read_text()]
    assert files == ["worker.py"]
