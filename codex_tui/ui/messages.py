"""What the screens and the app have to know of each other: messages, and what a screen can be asked."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import Worker, WorkerState

from codex_tui.base.errors import CodexError, of_system
from training.contract.run_directory import RunDirectory


class OpenRun(Message):
    """Opens the cockpit of a run, in place of the screen that is shown."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run = run


class Trouble(Message):
    """What a person asked for can't be done. The texts are not cleaned yet: clean them before they are shown."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__()
        self.message = message
        self.hint = hint


@runtime_checkable
class HasUnsavedChanges(Protocol):
    """A screen that may have `unsaved` changes. The app lets it ask what to do with them before it quits."""

    @property
    def unsaved(self) -> bool: ...

    def ask_and_quit(self) -> None: ...


class HintsChanged(Message):
    """The keys of a pane have another meaning now."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, HintsChanged)


class ReportsWorkerErrors(MessagePump):
    """For screens that start workers: an unexpected error becomes a notice. Textual would end the app."""

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            if isinstance(error, OSError) and error.errno:  # a full disk, a file that can't be read
                error = of_system(error)
            if isinstance(error, CodexError):
                trouble = Trouble(error.message, error.hint)
            else:
                trouble = Trouble(f"That did not work: {error or type(error).__name__}", "A run in training goes on.")
            self.post_message(trouble)
