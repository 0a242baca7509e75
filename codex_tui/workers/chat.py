"""A conversation with a run's model: the turns, and the worker that answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from codex_tui.base.errors import CodexError
from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

Status = Literal["off", "loading", "ready", "answering", "failed"]
MOST_NEW_TOKENS = 256


class Adapter(NamedTuple):
    """Which adapter answers: the run's own, or where `step` is one, that of this checkpoint."""

    step: int | None = None

    @property
    def name(self) -> str:
        return "adapter" if self.step is None else f"checkpoint {self.step:,}"


def adapter_of(run: RunDirectory, *, thorough: bool) -> Adapter | None:
    """The adapter that the chat worker loads, or None for the base model alone. `thorough`: see `is_whole`."""
    folder = checkpoints.answering(run, thorough=thorough)
    if folder is None:
        return None
    return Adapter() if folder == run.adapter else Adapter(checkpoints.step_of(folder))


@dataclass
class Turn:
    """`text` is as it came: clean it before it is shown. `ended` is "" while the answer still grows; `by` says whose
    it is."""

    role: Literal["user", "assistant"]
    text: str
    by: str = ""
    ended: str = ""
    tokens: int = 0
    seconds: float = 0.0


class Conversation:
    """Calls `on_change` whenever something is new to show. Nothing is loaded before the first question."""

    def __init__(self, run: RunDirectory, on_change: Callable[[], None]) -> None:
        self.turns: list[Turn] = []
        self.status: Status = "off"
        self.phase = ""  # what is being loaded
        self.progress: tuple[int, int] | None = None
        self.error: tuple[str, str] | None = None  # message and hint of what went wrong last
        self.device = ""
        self.adapter = True  # it is to answer, where there is one
        self.found: Adapter | None = None
        self._run = run
        self._looked: object = None
        self._on_change = on_change
        self._worker: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._next_id = 0
        self._starting = asyncio.Lock()  # a pane may be left while its worker starts
        self.look()

    def look(self) -> bool:
        """Finds which adapter would be loaded now; whether that is another than before."""
        there = (self._run.has_adapter(), checkpoints.found_in(self._run.checkpoints)[-1:])
        if there == self._looked:
            return False
        self._looked, before = there, self.found
        self.found = adapter_of(self._run, thorough=False)
        return self.found != before

    @property
    def answers_with_adapter(self) -> bool:
        return self.adapter and self.found is not None

    @property
    def by(self) -> str:
        """Who answers: "base", "adapter", "checkpoint 200"."""
        return self.found.name if self.adapter and self.found else "base"

    @property
    def outdated(self) -> bool:
        """The run has saved its adapter, and another is loaded, or none."""
        return self.found != Adapter() and self._run.has_adapter()

    @property
    def busy(self) -> bool:
        """A question waits for its answer, or for the end of it."""
        return bool(self.turns) and not self.turns[-1].ended

    async def start(self) -> None:
        """Loads the model, unless it is loaded. An adapter that came since is a reason to load again."""
        from codex_tui.workers.process import Worker, interpreter_of

        async with self._starting:
            if self._worker is not None and not self.outdated:
                return
            await self._end()
            self.status, self.phase, self.progress, self.error = "loading", "starting", None, None
            self.look()
            self._on_change()
            try:
                python = await asyncio.to_thread(interpreter_of, self._run)
                self._worker = await Worker.start(python, ["chat", str(self._run.path)])
            except CodexError as error:
                self._fail(error.message, error.hint)
                return
            self._reading = asyncio.create_task(self._read(self._worker))

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
        """Ends the answer that is being written; what is there stays."""
        if self.status == "answering":
            await self._send({"type": "stop", "id": self._next_id})

    async def toggle_adapter(self) -> None:
        self.adapter = not self.adapter
        self._on_change()

    async def clear(self) -> None:
        await self.stop()
        self.turns.clear()
        self.error = None
        self._on_change()

    async def close(self) -> None:
        """Ends the worker; its memory is free when this returns."""
        async with self._starting:
            await self._end()

    async def _end(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()
        self.status = "off"

    async def _generate(self) -> None:
        self._next_id += 1
        answer = self.turns[-1]
        answer.by = self.by  # which the worker alone knows
        self.status = "answering"
        await self._send(
            {
                "type": "generate",
                "id": self._next_id,
                "messages": [{"role": turn.role, "content": turn.text} for turn in self.turns[:-1] if turn.text],
                "adapter": self.answers_with_adapter,
                "max_new_tokens": MOST_NEW_TOKENS,
                "temperature": 0.0,
            }
        )

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._worker.send(message)
        except CodexError as error:
            self._fail(error.message, error.hint)

    async def _read(self, worker: Any) -> None:
        async for message in worker:
            await self._take(message)
            self._on_change()
        if self.busy and self.status != "failed":
            self._fail("The worker ended without an answer.", worker.complaints())
        elif self.status != "failed":
            self.status = "off"
        self._worker = None

    async def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        mine = message.get("id") == self._next_id and bool(self.turns)
        if kind == "phase":
            self.phase = str(message.get("detail") or "loading")
            done, total = message.get("done"), message.get("total")
            self.progress = (done, total) if isinstance(done, int) and isinstance(total, int) and total else None
        elif kind == "ready":
            self.status, self.phase, self.progress = "ready", "", None
            self.device = str(message.get("device") or "")
            self.found = Adapter(message.get("step")) if message.get("has_adapter") else None
            if self.busy:
                await self._generate()
        elif kind == "token" and mine:
            self.turns[-1].text += str(message.get("text") or "")
        elif kind == "end":
            self.status = "ready"
            if mine:
                answer = self.turns[-1]
                answer.ended = str(message.get("reason") or "eos")
                answer.tokens, answer.seconds = int(message.get("tokens") or 0), float(message.get("seconds") or 0)
        elif kind == "error":
            fatal = message.get("id") is None
            self._fail(str(message.get("message") or "The worker failed."), str(message.get("hint") or ""), fatal=fatal)

    def _fail(self, message: str, hint: str, *, fatal: bool = True) -> None:
        """A `fatal` error ends the worker, others the answer alone."""
        self.status = "failed" if fatal else "ready"
        self.error = (message, hint)
        if self.busy:
            self.turns[-1].ended = "failed"
        self._on_change()
