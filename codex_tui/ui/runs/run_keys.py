"""The keys that do something with one run. The list of runs and the cockpit have them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from codex_tui.base.text import clean
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors
from training.contract.run_directory import RunDirectory


class RunKeysScreen(ReportsWorkerErrors, Screen[None]):
    """A screen with keys for a run: the run that it shows, or the one that is picked in its list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume", "Resume the run"),
        Binding("L", "park", "Lend the card, and bring the run back"),
        Binding("J", "judge", "Judgement of the run"),
        Binding("E", "export", "Export the run's model"),
        Binding("Y", "copy_python", "Copy the Python that loads the adapter"),
        Binding("P", "copy_push", "Copy the command that pushes the adapter"),
    ]

    def find_run(self) -> RunDirectory | None:
        """The run that the keys are for; None if no run is picked."""
        raise NotImplementedError

    def explain_no_resume(self) -> str:
        """Why that run can't be resumed, "" if it can."""
        raise NotImplementedError

    def show_changes(self) -> None:
        """Show what a key has changed. A screen that follows its run need not do anything."""

    def action_judge(self) -> None:
        from codex_tui.ui.judge.screen import JudgeScreen

        if run := self.find_run():
            self.app.push_screen(JudgeScreen(run), lambda _: self.show_changes())

    def action_export(self) -> None:
        from codex_tui.ui.export.screen import ExportScreen

        if run := self.find_run():
            self.app.push_screen(ExportScreen(run))

    def action_copy_python(self) -> None:
        from codex_tui.ui.runs.copying import copy_python

        if run := self.find_run():
            copy_python(self, run)

    def action_copy_push(self) -> None:
        from codex_tui.ui.runs.copying import copy_push

        if run := self.find_run():
            copy_push(self, run)

    def action_park(self) -> None:
        from codex_tui.ui.runs.park import park_or_bring_back

        if run := self.find_run():
            self._change_run(park_or_bring_back(self, run))

    def action_resume(self) -> None:
        from codex_tui.ui.runs.resume import resume

        if (run := self.find_run()) is None:
            return
        if reason := self.explain_no_resume():
            self.notify(clean(reason), markup=False)
        else:
            self._change_run(resume(self, run))

    def _change_run(self, change: Coroutine[Any, Any, object]) -> None:
        async def work() -> None:
            await change
            self.show_changes()

        start_worker(self, work)
