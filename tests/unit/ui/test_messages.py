"""What a screen reports when one of its workers fails."""

from __future__ import annotations

import errno

import pytest
from support.pilot import until
from textual.app import App
from textual.screen import Screen

from codex_tui.base.errors import BadInput
from codex_tui.ui.messages import ReportsWorkerErrors, Trouble


class WorkingScreen(ReportsWorkerErrors, Screen[None]):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def on_mount(self) -> None:
        self.run_worker(self.fail(), exit_on_error=False)

    async def fail(self) -> None:
        raise self.error


class FailingApp(App[None]):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.troubles: list[tuple[str, str]] = []

    def on_mount(self) -> None:
        self.push_screen(WorkingScreen(self.error))

    def on_trouble(self, trouble: Trouble) -> None:
        self.troubles.append((trouble.message, trouble.hint))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("no room left"), "Unexpected error: no room left"),
        (RuntimeError(), "Unexpected error: RuntimeError"),  # an exception without a text
        (BadInput("line 4 is not JSON.", "Repair it."), "line 4 is not JSON."),
    ],
)
async def test_an_error_of_a_worker_is_reported_with_a_text(error: Exception, message: str) -> None:
    app = FailingApp(error)
    async with app.run_test() as pilot:
        await until(pilot, lambda: bool(app.troubles))
    assert [text for text, _ in app.troubles] == [message]


async def test_an_error_of_the_system_names_its_reason() -> None:
    app = FailingApp(OSError(errno.EACCES, "Permission denied", "/some/file"))
    async with app.run_test() as pilot:
        await until(pilot, lambda: bool(app.troubles))
    [(message, _)] = app.troubles
    assert "/some/file" in message
    assert "Permission denied" in message
