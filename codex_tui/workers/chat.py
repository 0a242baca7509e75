"""A conversation with a run's model: the turns, and the client of the worker that answers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from codex_tui.base.errors import CodexError
from codex_tui.workers.client import WorkerClient
from training.contract import checkpoints
from training.contract.messages import (
    CHAT,
    AnswerEnd,
    ChatAnswer,
    ChatReady,
    ChatRequest,
    Generate,
    Loading,
    StopAnswer,
    Token,
    WorkerError,
)
from training.contract.run_directory import RunDirectory

MAX_NEW_TOKENS = 256


class Adapter(NamedTuple):
    """The adapter that answers: the run's own, or the one of the checkpoint at `step`."""

    step: int | None = None

    @property
    def name(self) -> str:
        return "adapter" if self.step is None else f"checkpoint {self.step:,}"


def adapter_of(run: RunDirectory, *, thorough: bool) -> Adapter | None:
    """The adapter that the chat worker loads, or None if the base model answers. `thorough`: see `is_whole`."""
    folder = checkpoints.find_chat_adapter(run, thorough=thorough)
    if folder is None:
        return None
    return Adapter() if folder == run.adapter else Adapter(checkpoints.parse_step(folder))


@dataclass
class Turn:
    """One question or one answer. `text` is not yet cleaned for the terminal.

    `by` names the model that answers: "base", "adapter" or "checkpoint 200". `ended` is "" while the answer grows.
    """

    role: Literal["user", "assistant"]
    text: str
    by: str = ""
    ended: str = ""
    tokens: int = 0
    seconds: float = 0.0


class Conversation(WorkerClient[ChatRequest, ChatAnswer]):
    """The turns with one run's model. Nothing is loaded before the first question."""

    def __init__(self, run: RunDirectory, on_change: Callable[[], None]) -> None:
        super().__init__(CHAT, run, on_change)
        self.turns: list[Turn] = []
        self.phase = ""  # what the worker loads now
        self.progress: tuple[int, int] | None = None
        self.device = ""
        self.adapter: Adapter | None = None  # loaded, or to be loaded by the first question
        self.use_adapter = True
        self._run = run
        self._adapter_files: object = None  # when `look` looked last
        self._request_id = 0
        self.look()

    def look(self) -> bool:
        """Finds the adapter that the worker would load now. Returns whether it is another one than before."""
        files = (self._run.has_adapter(), checkpoints.list_checkpoints(self._run.checkpoints)[-1:])
        if files == self._adapter_files:
            return False
        self._adapter_files, before = files, self.adapter
        self.adapter = adapter_of(self._run, thorough=False)
        return self.adapter != before

    @property
    def answers_with_adapter(self) -> bool:
        return self.use_adapter and self.adapter is not None

    @property
    def by(self) -> str:
        """The name of the model that answers: "base", "adapter", "checkpoint 200"."""
        return self.adapter.name if self.use_adapter and self.adapter else "base"

    @property
    def outdated(self) -> bool:
        """Whether the run has saved its adapter, but the worker has loaded a checkpoint's or none."""
        return self.adapter != Adapter() and self._run.has_adapter()

    @property
    def busy(self) -> bool:
        """Whether the last answer has not ended."""
        return bool(self.turns) and not self.turns[-1].ended

    async def ask(self, text: str) -> None:
        """Adds the question and an empty answer; the worker fills it once it is ready."""
        if self.busy:
            return
        self.turns += [Turn("user", text, ended="said"), Turn("assistant", "", by=self.by)]
        await self.start()
        if self.status == "ready":
            await self._generate()
        self._on_change()

    async def stop(self) -> None:
        """Ends the answer that is being written. Its text stays."""
        if self.status == "answering":
            await self._send(StopAnswer(id=self._request_id))

    async def toggle_adapter(self) -> None:
        self.use_adapter = not self.use_adapter
        self._on_change()

    async def clear(self) -> None:
        await self.stop()
        self.turns.clear()
        self.error = None
        self._on_change()

    def _is_outdated(self) -> bool:
        return self.outdated

    def _prepare(self) -> None:
        self.phase, self.progress = "starting", None
        self.look()

    async def _generate(self) -> None:
        self._request_id += 1
        self.turns[-1].by = self.by  # only the worker knows which adapter it has loaded
        self.status = "answering"
        await self._send(
            Generate(
                id=self._request_id,
                messages=[{"role": turn.role, "content": turn.text} for turn in self.turns[:-1] if turn.text],
                adapter=self.answers_with_adapter,
                max_new_tokens=MAX_NEW_TOKENS,
            )
        )

    async def _receive(self, answer: ChatAnswer) -> None:
        match answer:
            case Loading():
                self.phase = answer.detail
                self.progress = (answer.done, answer.total) if answer.total else None
            case ChatReady():
                self.status, self.phase, self.progress = "ready", "", None
                self.device = answer.device
                self.adapter = Adapter(answer.step) if answer.has_adapter else None
                if self.busy:
                    await self._generate()
            case Token() if self._is_current(answer.id):
                self.turns[-1].text += answer.text
            case AnswerEnd():
                self.status = "ready"
                if self._is_current(answer.id):
                    turn = self.turns[-1]
                    turn.ended, turn.tokens, turn.seconds = answer.reason, answer.tokens, answer.seconds
            case WorkerError():
                self._fail(CodexError(answer.message, answer.hint), fatal=False)

    def _is_current(self, request_id: int) -> bool:
        return request_id == self._request_id and bool(self.turns)

    def _on_end(self, last_lines: str) -> None:
        if self.busy:
            self._fail(CodexError("The worker ended without an answer.", last_lines))
        else:
            self.status = "off"

    def _fail(self, error: CodexError, *, fatal: bool = True) -> None:
        if self.busy:
            self.turns[-1].ended = "failed"
        super()._fail(error, fatal=fatal)
