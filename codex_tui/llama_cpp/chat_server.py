"""llama-server in the place of the chat worker: it takes the same requests and sends the same answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from msgspec import UNSET

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import ignore_progress
from codex_tui.llama_cpp.llama_server import LlamaServer, ServerOptions, start_server
from training.contract.chat_messages import (
    AnswerBegin,
    AnswerEnd,
    AnswerReason,
    ChatAnswer,
    ChatReady,
    ChatRequest,
    Generate,
    StopAnswer,
    Token,
)
from training.contract.config import RowForm
from training.contract.messages import WorkerError


class ChatServer:
    """A server with the model of an exported file. It answers one request at a time."""

    def __init__(self, server: LlamaServer, options: ServerOptions, form: RowForm, stack: AsyncExitStack) -> None:
        self._server, self._form, self._stack = server, form, stack
        self._answers: asyncio.Queue[ChatAnswer | None] = asyncio.Queue()
        device = "llama-server" if options.use_gpu else "the CPU, by llama-server"
        self._answers.put_nowait(ChatReady(device=device, has_adapter=True, form=form, context=options.context))
        self._answering: asyncio.Task[None] | None = None
        self._stopped = False
        self._watch = asyncio.create_task(self._wait_for_end())
        self._error: CodexError | None = None

    @classmethod
    async def start(cls, program: Path, options: ServerOptions, form: RowForm) -> ChatServer:
        """`form` is that of the run's rows. Raises CodexError."""
        stack = AsyncExitStack()
        server = await stack.enter_async_context(start_server(program, options, ignore_progress))
        return cls(server, options, form, stack)

    async def send(self, request: ChatRequest) -> None:
        match request:
            case Generate():
                self._stopped = False
                self._answering = asyncio.create_task(self._answer(request))
            case StopAnswer():
                self._stopped = True

    async def __aiter__(self) -> AsyncIterator[ChatAnswer]:
        """The answers until the server ends. Raises CodexError if it ends by itself."""
        while (answer := await self._answers.get()) is not None:
            yield answer
        if self._error:
            raise self._error

    def last_lines(self) -> str:
        return self._server.last_lines()

    async def close(self) -> None:
        """Ends the server and waits until its memory is free."""
        self._watch.cancel()
        if self._answering:
            self._answering.cancel()
        self._answers.put_nowait(None)
        await self._stack.aclose()

    async def _wait_for_end(self) -> None:
        await self._server.wait()
        self._error = CodexError("llama-server has ended.", self.last_lines())
        self._answers.put_nowait(None)

    async def _answer(self, request: Generate) -> None:
        started = time.monotonic()
        tokens = 0
        reason: AnswerReason = "length"
        try:
            prompt = await self._encode(request)
            self._answers.put_nowait(AnswerBegin(id=request.id, tokens=len(prompt)))
            body = make_sampling(request) | {"prompt": prompt, "cache_prompt": True, "return_tokens": True}
            async for piece in self._server.stream("/completion", body):
                tokens += len(piece.get("tokens") or ())
                if text := piece.get("content"):
                    self._answers.put_nowait(Token(id=request.id, text=text))
                if piece.get("stop"):
                    reason = "eos" if piece["stop_type"] == "eos" else "length"
                    tokens = piece["tokens_predicted"]
                if self._stopped:
                    reason = "stopped"
                    break
        except CodexError as error:
            failed = WorkerError(id=request.id, kind="unknown", message=error.message, hint=error.hint)
            self._answers.put_nowait(failed)
            return
        seconds = time.monotonic() - started
        self._answers.put_nowait(AnswerEnd(id=request.id, reason=reason, tokens=tokens, seconds=seconds))

    async def _encode(self, request: Generate) -> list[int]:
        """Return the tokens of the prompt, as the file's own tokenizer and chat template make them."""
        if self._form.text:
            return await self._server.tokenize("".join(turn["content"] for turn in request.messages), add_special=True)
        system = self._form.system_prompt if request.system_prompt is UNSET else request.system_prompt
        first = [{"role": "system", "content": system}] if system else []
        return await self._server.encode_chat([*first, *request.messages])


def make_sampling(request: Generate) -> dict[str, Any]:
    """Return the fields of llama.cpp for the sampling of `request`, without the filters that it applies by itself."""
    sampling: dict[str, Any] = {"n_predict": request.max_new_tokens, "temperature": request.temperature}
    sampling |= {"top_p": request.top_p, "top_k": 0, "min_p": 0}
    return sampling if request.seed is None else sampling | {"seed": request.seed}
