"""What the app's parts tell each other, where calling would tie them together."""

from __future__ import annotations

from textual.message import Message

from training.contract.run_directory import RunDirectory


class OpenRun(Message):
    """Show this run's cockpit in place of whatever is shown."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run = run


class Trouble(Message):
    """Something a person asked for can't be done. Both texts are as they came: clean them before they are shown."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__()
        self.message = message
        self.hint = hint
