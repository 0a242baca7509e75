"""A conversation with a run's model: the turns, and the client of the worker that answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import UnsetType

from codex_tui.base.errors import CodexError
from codex_tui.workers.chat_client import ChatClient
from codex_tui.workers.chat_models import Adapter
from codex_tui.workers.chat_settings import ChatSettings
from codex_tui.workers.turns import Turn, WaitingQuestion
from training.contract.chat_messages import AnswerBegin, AnswerEnd, ChatAnswer, ChatReady, ChatTurn, StopAnswer, Token
from training.contract.messages import Loading, WorkerError
from training.contract.run_directory import RunDirectory


class Conversation(ChatClient):
    """The turns with one run's model. It is loaded by `start`, or by the first question.

    A run that learned plain text continues a text: the user's turn is its beginning, and each answer that follows
    continues it.
    """

    def __init__(self, run: RunDirectory, on_change: Callable[[], None]) -> None:
        super().__init__(run, on_change)
        self.turns: list[Turn] = []
        self.waiting: list[WaitingQuestion] = []
        self.settings = ChatSettings()
        self._answered_adapter: object = None  # the run's own adapter that gave the last answer
        self._request_id = 0
        self._answer = Turn("assistant", "")  # of the last request; after `clear` it is no longer among the turns
        self._asking: asyncio.Task[None] | None = None

    @property
    def system_prompt(self) -> str | None:
        """The system message of the next answers."""
        edited = self.settings.system_prompt
        return self.form.system_prompt if isinstance(edited, UnsetType) else edited

    @property
    def busy(self) -> bool:
        """Whether the last answer, or the other model's answer beside it, has not ended."""
        return bool(self.turns) and self.turns[-1].open_answer is not None

    @property
    def can_continue(self) -> bool:
        """Whether the last text can be continued."""
        return self.form.text and bool(self.turns) and not self.busy

    @property
    def can_ask_other(self) -> bool:
        """Whether the last question can be asked of the other model too."""
        has_both = self.adapter is not None and self.fast_model is None
        return has_both and bool(self.turns) and not self.busy and self.turns[-1].other is None

    async def ask(self, text: str, *, of_both: bool = False) -> None:
        """Asks `text` when the model is loaded and all earlier questions are answered. `of_both`: asks base and
        adapter, the one after the other."""
        self.waiting.append(WaitingQuestion(text, of_both))
        if not self.busy:
            await self._ask_next()
        self._on_change()

    async def continue_text(self) -> None:
        """Continues the last text, where its last answer ended."""
        if self.can_continue:
            await self._add_answer()
            self._on_change()

    async def ask_other(self) -> None:
        """Asks the last question of the other model too."""
        if self.can_ask_other:
            self._add_other()
            await self._answer_when_ready()
            self._on_change()

    async def stop(self) -> None:
        """Ends the answer that is being written. Its text stays. The other model is no longer asked."""
        if self.status == "answering":
            self._forget_unasked()
            await self._send(StopAnswer(id=self._request_id))

    async def toggle_fast(self) -> None:
        """Lets the exported file answer, or the worker again. Frees the memory of the other; nothing is loaded before
        the next question. Does nothing while an answer is written."""
        if self.fast and not self.busy:
            await self.close()
            self.use_fast = not self.use_fast
            self.use_adapter = self.use_adapter or self.use_fast
            self.device, self.error = "", None
            self._on_change()

    async def ask_in_trainer(self, in_trainer: bool) -> None:
        """Let the trainer answer, or a worker again. Frees the memory of the other one. An open answer fails."""
        if in_trainer != self.in_trainer:
            await self.close()
            if self.busy:
                self._fail(CodexError("The answer was given up, because another process answers now."))
                self.status = "off"
            self.in_trainer, self._files = in_trainer, None
            self.look()
            self._on_change()

    async def clear(self) -> None:
        await self.stop()
        self.turns.clear()
        self.waiting.clear()
        self.error = None
        self._on_change()

    def make_messages(self) -> list[ChatTurn]:
        """The messages that the last answer answers. A question without an answer is left out of the history."""
        turns = self.turns[:-1]
        if self.form.text:
            turns = turns[max(place for place, turn in enumerate(turns) if turn.role == "user") :]
        else:
            pairs = zip(turns[::2], turns[1::2], strict=False)
            turns = [turn for question, answer in pairs if answer.text for turn in (question, answer)] + turns[-1:]
        return [{"role": turn.role, "content": turn.text} for turn in turns]

    async def _ask_next(self) -> None:
        question = self.waiting.pop(0)
        self.turns.append(Turn("user", question.text, ended="said"))
        await self._add_answer(of_both=question.of_both)

    async def _add_answer(self, *, of_both: bool = False) -> None:
        """Adds an empty answer; the worker fills it once it is ready."""
        self.turns.append(Turn("assistant", "", by=self.by, with_adapter=self.answers_with_adapter))
        if of_both and self.adapter and self.fast_model is None:
            self._add_other()
        await self._answer_when_ready()

    def _add_other(self) -> None:
        answer = self.turns[-1]
        with_adapter = not answer.with_adapter
        answer.other = Turn("assistant", "", by=self.name_model(with_adapter=with_adapter), with_adapter=with_adapter)

    def _forget_unasked(self) -> None:
        """Take the other model's answer away if it has not been asked yet."""
        answer = self.turns[-1]
        if answer.other and self._answer is not answer.other:
            answer.other = None

    async def _answer_when_ready(self) -> None:
        await self.start()
        if self.status == "ready":
            await self._generate()

    async def _generate(self) -> None:
        self._request_id += 1
        self.error, self.phase = None, ""
        turn = self.turns[-1]
        answer = self._answer = turn.open_answer or turn
        if answer is turn:
            answer.with_adapter = self.answers_with_adapter  # only the worker knows which adapter it has
            if turn.other:
                turn.other.with_adapter = not answer.with_adapter
        answer.by, answer.sampling = self.name_model(with_adapter=answer.with_adapter), self.settings.sampling
        if answer.with_adapter:
            before, self._answered_adapter = self._answered_adapter, self._loaded_adapter
            answer.of_newer_adapter = before not in (None, self._loaded_adapter)
        self.status = "answering"
        request = self.settings.make_request(self._request_id, self.make_messages(), adapter=answer.with_adapter)
        await self._send(request)

    async def _receive(self, answer: ChatAnswer) -> None:
        match answer:
            case Loading():
                self.phase = answer.detail
                self.progress = (answer.done, answer.total) if answer.total else None
            case ChatReady():
                self.status, self.phase, self.progress = "ready", "", None
                self.device, self.context, self.form = answer.device, answer.context, answer.form
                self.adapter = Adapter(answer.step) if answer.has_adapter else None
                if self.adapter is None and self.turns:
                    self.turns[-1].other = None  # there is no other model to ask
                if self.busy:
                    await self._generate()
            case AnswerBegin() if self._is_expected(answer.id):
                self._answer.prompt_tokens, self._answer.left_out = answer.tokens, answer.left_out
                self.phase = ""
                if answer.step is not None:
                    self._answer.by = f"adapter at step {answer.step:,}"
            case Token() if self._is_expected(answer.id):
                self._answer.text += answer.text
            case AnswerEnd() if self._is_expected(answer.id):
                self.status, turn = "ready", self._answer
                turn.ended, turn.tokens, turn.seconds = answer.reason, answer.tokens, answer.seconds
                await self._go_on()
            case WorkerError() if self._is_expected(answer.id):
                self._answer.ended = "failed"
                self._fail(CodexError(answer.message, answer.hint), fatal=False)
                await self._go_on()

    async def _go_on(self) -> None:
        """Answers the question that was asked while an earlier answer was stopped, or asks the next one that waits."""
        if self.busy:
            await self._generate()
        elif self.waiting:
            # Another task does it: it may start another worker, which ends the task that reads from this one.
            self._asking = asyncio.create_task(self._ask_next())

    def _is_expected(self, request_id: int | None) -> bool:
        return request_id == self._request_id and self.status == "answering"

    def _on_end(self, last_lines: str) -> None:
        if self.busy:
            self._fail(CodexError("The worker ended without an answer.", last_lines))
        else:
            self.status = "off"

    def _fail(self, error: CodexError, *, fatal: bool = True) -> None:
        if fatal and self.busy:
            for answer in self.turns[-1].answers:
                answer.ended = answer.ended or "failed"
        super()._fail(error, fatal=fatal)
