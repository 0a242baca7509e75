"""The client of what answers in a chat: a worker with the run's model, an exported file, or the trainer of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from codex_tui.runs.facts import read_row_form
from codex_tui.workers.chat_models import Adapter, FastModel, adapter_of
from codex_tui.workers.client import AnyWorker, WorkerClient
from training.contract import checkpoints
from training.contract.chat_messages import CHAT, ChatAnswer, ChatRequest
from training.contract.config import RowForm
from training.contract.run_directory import RunDirectory


class ChatClient(WorkerClient[ChatRequest, ChatAnswer]):
    """Knows which model answers, and starts it. A worker is started by `start`, or by the first question."""

    def __init__(self, run: RunDirectory, on_change: Callable[[], None]) -> None:
        super().__init__(CHAT, run, on_change)
        self.form = RowForm()
        self.context: int | None = None
        self.phase = ""  # what the worker loads now, or what the trainer's answer waits for
        self.progress: tuple[int, int] | None = None
        self.device = ""
        self.adapter: Adapter | None = None  # loaded, or to be loaded by the first question
        self.use_adapter = True
        self.fast: FastModel | None = None  # what can answer faster, if there is anything
        self.use_fast = False
        self.in_trainer = False  # the trainer of the run answers between two steps, and no worker is loaded
        self.describe_wait: Callable[[], str] = lambda: "waits for the trainer"
        self._run = run
        self._files: object = None  # when `look` looked last
        self._loaded_adapter: object = None  # the run's own adapter when the worker was started
        self.look()

    def look(self) -> bool:
        """Finds the adapter that the worker would load now, and the form of the rows. Returns whether one changed."""
        files = (
            self._own_adapter(),
            checkpoints.list_checkpoints(self._run.checkpoints)[-1:],
            _stamp(self._run.config),
        )
        if files == self._files:
            return False
        self._files, before = files, (self.adapter, self.form)
        self.adapter = Adapter() if self.in_trainer else adapter_of(self._run, thorough=False)
        self.form = read_row_form(self._run)
        return (self.adapter, self.form) != before

    @property
    def answers_with_adapter(self) -> bool:
        return self.use_adapter and self.adapter is not None

    @property
    def fast_model(self) -> FastModel | None:
        """The exported file that answers; None if the worker does."""
        return self.fast if self.use_fast else None

    @property
    def by(self) -> str:
        """The name of the model that answers: "base", "adapter", "checkpoint 200"."""
        return self.name_model(with_adapter=self.use_adapter)

    def name_model(self, *, with_adapter: bool) -> str:
        if self.fast_model:
            return self.fast_model.name
        return self.adapter.name if with_adapter and self.adapter else "base"

    @property
    def outdated(self) -> bool:
        """Whether the run has saved its adapter since the worker loaded a checkpoint, an older adapter or none."""
        own = self._own_adapter()
        return not self.use_fast and not self.in_trainer and own is not None and own != self._loaded_adapter

    @property
    def wait(self) -> str:
        """What the trainer's answer waits for; "" if it waits for nothing."""
        return self.phase if self.in_trainer and self.status == "answering" else ""

    async def toggle_adapter(self) -> None:
        self.use_adapter = not self.use_adapter
        self._on_change()

    def _own_adapter(self) -> object:
        """Identifies the adapter that the run has saved; None before that."""
        return _stamp(self._run.adapter) if self._run.has_adapter() else None

    def _is_outdated(self) -> bool:
        return self.outdated

    async def _start_worker(self) -> AnyWorker[ChatRequest, ChatAnswer]:
        if self.fast_model:
            self.phase = "loading the model into llama-server"
            return await self.fast_model.start()
        if self.in_trainer:
            from codex_tui.workers.trainer_chat import TrainerChat

            return TrainerChat(self._run, lambda: self.describe_wait())
        return await super()._start_worker()

    def _prepare(self) -> None:
        self.phase, self.progress = "starting", None
        self.look()
        self._loaded_adapter = self._own_adapter()


def _stamp(path: Path) -> tuple[int, int] | None:
    """Identifies the file or folder at `path`: another one has another stamp. None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
