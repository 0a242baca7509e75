"""The details of a run show where its trackers keep the curves, and the command that opens them."""

from __future__ import annotations

from typing import Any

from support.pilot import screen_text, settled, until

from codex_tui.ui.app import CodexApp
from training.contract.run_directory import RunDirectory
from training.contract.trackers import TrackedRun, write_tracked_runs


async def test_the_details_name_the_command_that_opens_the_curves(make_run: Any) -> None:
    run: RunDirectory = make_run(end="done")
    board = TrackedRun(place="/runs/zombies-1/trackers/tensorboard")
    remote = TrackedRun(place="https://mlflow.example/\x1b[2J", project="p", sent=True)
    write_tracked_runs(run, {"tensorboard": board, "mlflow": remote})
    app = CodexApp(run)
    async with app.run_test(size=(120, 50)) as pilot:
        await settled(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "Trackers" in screen_text(app))
        text = screen_text(app)
        assert "tensorboard --logdir /runs/zombies-1/trackers/tensorboard" in text
        assert "https://mlflow.example/␛[2J" in text and "mlflow ui" not in text
