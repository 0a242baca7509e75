"""llama.cpp's server: starts it with a GGUF file, waits until it answers, asks it, and ends it in any case."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.base.secrets import redact
from codex_tui.base.text import format_duration
from codex_tui.llama_cpp.json_client import JsonClient, Refused
from training.contract.process import format_signal

LOOPBACK = "127.0.0.1"
START_SECONDS = 600.0  # a large file on a slow disk
POLL_SECONDS = 0.1
GRACE_SECONDS = 5.0
HEALTH_SECONDS = 5.0
MAX_LINES, MAX_LINE = 10, 500  # of the server's output, for an error
FORCING_BIAS = 1e9  # added to the logit of a token so that it is certainly the next one

Turn = Mapping[str, Any]
"""A message of the OpenAI API."""

EXEC_CHILD = Path(__file__).with_name("exec_child.py")


@dataclass(frozen=True)
class ServerAnswer:
    """An answer of the server. `prompt_tokens` counts the tokens that it read."""

    text: str
    ended: Literal["eos", "length"]
    tokens: int
    prompt_tokens: int
    seconds: float


@dataclass(frozen=True)
class ServerOptions:
    """How a server is started. Nobody else knows its `api_key`; "" lets everybody ask, also a page in a browser.
    `context` is not the model's own, whose memory may be many times that of the model."""

    model: Path
    lora: Path | None = None
    host: str = LOOPBACK
    port: int = 0  # 0: any that is free
    alias: str = ""
    api_key: str = field(default_factory=secrets.token_urlsafe)
    context: int = 4096
    use_gpu: bool = False
    web_page: bool = False

    def make_arguments(self, port: int) -> list[str]:
        """Make the arguments of llama-server. The key is not among them, because every user can read them."""
        arguments = ["--model", str(self.model), "--host", self.host, "--port", str(port), "--jinja", "--offline"]
        arguments += ["--parallel", "1", "--ctx-size", str(self.context)]
        if not self.use_gpu:
            arguments += ["--device", "none"]
        arguments += ["--temp", "0"]  # of a request that names none: the answers that were judged and proven
        arguments += ["--reasoning-format", "none"]  # an answer is what the model wrote
        if self.lora:
            arguments += ["--lora", str(self.lora)]
        if self.alias:
            arguments += ["--alias", self.alias]
        return arguments if self.web_page else [*arguments, "--no-webui"]


class LlamaServer:
    """A running llama-server. Every method raises CodexError if the server ends, or if it answers with an error."""

    def __init__(self, process: asyncio.subprocess.Process, options: ServerOptions, port: int) -> None:
        self.port = port
        self._options = options
        self._process = process
        host = options.host if options.host not in ("0.0.0.0", "::") else LOOPBACK
        self._client = JsonClient(host, port, options.api_key)
        self._lines = deque[str](maxlen=MAX_LINES)
        self._drain = asyncio.create_task(self._read_output())

    @property
    def url(self) -> str:
        host = self._options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def wait(self) -> int:
        """Wait until the server ends. Return its exit code."""
        return await self._process.wait()

    async def answer(self, turns: Sequence[Turn], max_new_tokens: int) -> ServerAnswer:
        """Ask for the greedy answer to a conversation, in the way of every client of the OpenAI API."""
        started = time.monotonic()
        reply = await self._post(
            "/v1/chat/completions",
            {"messages": list(turns), "temperature": 0, "max_tokens": max_new_tokens, "cache_prompt": False},
        )
        choice, usage = reply["choices"][0], reply["usage"]
        return ServerAnswer(
            choice["message"].get("content") or "",
            "eos" if choice["finish_reason"] == "stop" else "length",
            usage["completion_tokens"],
            usage["prompt_tokens"],
            time.monotonic() - started,
        )

    async def continue_text(self, prompt: Sequence[int], max_new_tokens: int) -> ServerAnswer:
        """Ask for the greedy continuation of the tokens `prompt`, for a model that learned plain text."""
        started = time.monotonic()
        reply = await self._post(
            "/completion",
            {"prompt": list(prompt), "temperature": 0, "n_predict": max_new_tokens, "cache_prompt": False},
        )
        ended: Literal["eos", "length"] = "eos" if reply["stop_type"] == "eos" else "length"
        return ServerAnswer(
            reply["content"], ended, reply["tokens_predicted"], reply["tokens_evaluated"], time.monotonic() - started
        )

    async def encode_chat(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Return the tokens of a conversation up to the answer, as the file's own chat template makes them."""
        return await self.tokenize(await self.render_chat(turns, tools), add_special=True)

    async def render_chat(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        """Return the text of a conversation up to the answer, without a begin token that the tokenizer adds itself."""
        body = {"messages": list(turns), **({"tools": list(tools)} if tools else {})}
        prompt: str = (await self._post("/apply-template", body))["prompt"]
        return prompt

    async def find_end_token(self) -> str:
        """Return the text of the model's end token, "" if it has none."""
        end: str = (await self._call("GET", "/props")).get("eos_token") or ""
        return end

    async def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """Return the tokens of a text. Special tokens in it are read as such."""
        body = {"content": text, "add_special": add_special, "parse_special": True}
        tokens: list[int] = (await self._post("/tokenize", body))["tokens"]
        return tokens

    async def measure(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """Return the log-probability of each token of `answer` after `prompt`.

        The server has no such request. So each token is forced by a bias, which does not change the probabilities that
        the server reports: they are those of the model.
        """
        measured = []
        for place, token in enumerate(answer):
            reply = await self._post(
                "/completion",
                {
                    "prompt": [*prompt, *answer[:place]],
                    "n_predict": 1,
                    "n_probs": 1,
                    "temperature": 0,
                    "logit_bias": [[token, FORCING_BIAS]],
                    "cache_prompt": True,
                },
            )
            chosen = reply["completion_probabilities"][0]
            if chosen["id"] != token:
                raise CodexError(
                    "llama-server chose another token than the one that was asked for.", "Use a newer llama.cpp."
                )
            measured.append(float(chosen["logprob"]))
        return measured

    async def stop(self) -> None:
        """End the server and wait until its memory is free."""
        if self._process.returncode is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(number)
                try:
                    await asyncio.wait_for(self._process.wait(), GRACE_SECONDS)
                    break
                except TimeoutError:
                    continue
        self._drain.cancel()

    async def _wait_until_ready(self, report: OnProgress) -> None:
        started = time.monotonic()
        while True:
            report(Progress("loading the model into llama-server"))
            if self._process.returncode is not None:
                await self._drain
                raise self._explain_end()
            with contextlib.suppress(OSError, HTTPException, ValueError, Refused):
                await self._client.call("GET", "/health", seconds=HEALTH_SECONDS)
                return
            if time.monotonic() - started > START_SECONDS:
                waited = format_duration(START_SECONDS)
                raise CodexError(f"llama-server did not load {self._options.model} within {waited}.", self.last_lines())
            await asyncio.sleep(POLL_SECONDS)

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Yield the pieces of an answer as they come. The server stops writing when the iteration ends."""
        async with self._explained():
            async for piece in self._client.stream(path, body):
                yield piece

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._call("POST", path, body)

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        async with self._explained():
            return await self._client.call(method, path, body)

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        """Turn the failure of a request into a CodexError."""
        try:
            yield
        except Refused as error:
            reason = error.reason or error.status
            message = f"llama-server refused the request {error.path}: {reason}."
            raise CodexError(message) from error
        except (OSError, HTTPException, ValueError) as error:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 1.0)
            if self._process.returncode is not None:
                raise self._explain_end() from error
            raise CodexError(f"llama-server did not answer: {error}.", self.last_lines()) from error

    def last_lines(self) -> str:
        """The last lines that the server wrote."""
        return redact("\n".join(self._lines))

    def _explain_end(self) -> CodexError:
        code = self._process.returncode or 0
        reason = f"by signal {format_signal(-code)}" if code < 0 else f"with exit code {code}"
        return CodexError(f"llama-server ended {reason}.", self.last_lines())

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        rest = ""
        while chunk := await self._process.stdout.read(65536):
            *lines, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
            self._lines.extend(line[-MAX_LINE:] for line in lines)
            rest = rest[-MAX_LINE:]


@asynccontextmanager
async def start_server(program: Path, options: ServerOptions, report: OnProgress) -> AsyncIterator[LlamaServer]:
    """Start `program` and wait until it can answer. It ends with the block, and with this process, however that ends.

    Call this in the main thread, because the kernel ends the server with the thread that started it. Raises CodexError.
    """
    port = options.port or find_free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_")}
    environ["LLAMA_ARG_CORS_ORIGINS"] = "localhost"  # no other page in a browser of this machine may ask
    if options.api_key:
        environ["LLAMA_API_KEY"] = options.api_key
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(EXEC_CHILD), str(os.getpid()), str(program), *options.make_arguments(port),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        cwd=options.model.parent,
        env=environ,
    )  # fmt: skip
    server = LlamaServer(process, options, port)
    try:
        await server._wait_until_ready(report)
        yield server
    finally:
        await asyncio.shield(server.stop())


def find_free_port() -> int:
    """Return a port that nobody uses on loopback now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def sum_loss(log_probabilities: Sequence[float]) -> float:
    """Return the loss of an answer: the sum over its tokens."""
    return -math.fsum(log_probabilities)
