"""What the app's parts tell each other, where calling would tie them together."""

from __future__ import annotations

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import Worker, WorkerState

from codex_tui.base.errors import CodexError, of_system
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


class HintsChanged(Message):
    """The keys of a pane do something else now."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, HintsChanged)


class ReportsWorkerErrors(MessagePump):
    """For nodes that start workers: what one did not foresee becomes a notice, where Textual would end the app."""

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            if isinstance(error, OSError) and error.errno:  # a full disk, a file that can't be read
                error = of_system(error)
            if isinstance(error, CodexError):
                told = Trouble(error.message, error.hint)
            else:
                told = Trouble(f"That did not work: {error or type(error).__name__}", "A run in training goes on.")
            self.post_message(told)
