"""The messages that screens send to the app, and the protocols that the app expects from screens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import Worker, WorkerState

from codex_tui.base.errors import CodexError, convert_os_error
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.runs.follower import RunFollower
    from codex_tui.runs.watched import WatchedRun


class OpenRun(Message):
    """Asks the app to open the cockpit of `run` above the first screen."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run = run


class RunChanged(Message):
    """Says what the cockpit of `run` shows now. The app sets the terminal's title by it, and announces events."""

    def __init__(self, run: RunDirectory, watched: WatchedRun) -> None:
        super().__init__()
        self.run = run
        self.watched = watched

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RunChanged) and message.run is self.run


class CockpitClosed(Message):
    """Hands the follower of a run that still trains to the app, which announces how the run ends."""

    def __init__(self, follower: RunFollower) -> None:
        super().__init__()
        self.follower = follower


class OpenProfile(Message):
    """Asks the app to show the profile called `name` in the list of profiles."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class ShowField(Message):
    """Asks to show the profile field with the dotted name `path`: the editor goes there, the app explains it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class Trouble(Message):
    """Asks the app to show an error. The receiver must pass both texts through `clean`; the sender need not."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__()
        self.message = message
        self.hint = hint


@runtime_checkable
class CanLoseWork(Protocol):
    """A screen that would lose something if it closed, such as unsaved changes. Before the app quits, this screen asks
    what to do."""

    @property
    def reason_to_stay(self) -> str:
        """What would be lost now, and what to do first, as clean sentences; "" if nothing would be."""

    def ask_and_quit(self) -> None: ...


@runtime_checkable
class ShowsFields(Protocol):
    """A screen that can go to the profile field with the dotted name `path`."""

    def show_field(self, path: str) -> None: ...


@runtime_checkable
class HoldsModels(Protocol):
    """A screen whose workers hold a model or a tokenizer."""

    async def free_workers(self) -> None:
        """End the workers; return once their memory is free."""


class HintsChanged(Message):
    """Says that the keys of a pane have changed, so that the screen updates its hints."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, HintsChanged)


class ReportsWorkerErrors(MessagePump):
    """The base of screens that start workers. An unexpected error becomes a notice; Textual alone would end the app."""

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            if isinstance(error, OSError) and error.errno:  # for example a full disk, or a file that cannot be read
                error = convert_os_error(error)
            if isinstance(error, CodexError):
                trouble = Trouble(error.message, error.hint)
            else:
                trouble = Trouble(
                    f"Unexpected error: {str(error) or type(error).__name__}", "A training run continues."
                )
            self.post_message(trouble)
