"""Workers that lie to the app, and an app that lies to its workers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import msgspec

from codex_tui.ui.data.row_view import as_seen, facts, one_by_one, raw
from codex_tui.workers.chat import Conversation
from codex_tui.workers.inspect import RowReader
from codex_tui.workers.process import Worker
from support.fuzz.checks import CONTROL, NOWHERE, Bench, Try
from support.fuzz.mutate import Mutator
from support.fuzz.runs import make_run
from training.workers import chat as chat_worker
from training.workers import inspect as inspect_worker


class FakeProcess:
    """Said all it has to say, and ended."""

    pid = 1

    def __init__(self, said: bytes, code: int) -> None:
        self.stdout, self.stderr, self.returncode = asyncio.StreamReader(limit=1 << 20), asyncio.StreamReader(), code
        self.stdout.feed_data(said)
        self.stdout.feed_eof()
        self.stderr.feed_data(b"\x1b]0;OWNED\x07 it broke\n")
        self.stderr.feed_eof()
        self.stdin = Mock(drain=AsyncMock())

    async def wait(self) -> int:
        return self.returncode


CHAT: list[Any] = [
    {"type": "phase", "detail": "loading", "done": 1, "total": 2},
    {"type": "ready", "device": "cpu", "has_adapter": True},
    *({"type": "token", "id": 1, "text": f"word {n} "} for n in range(4)),
    {"type": "end", "id": 1, "reason": "eos", "tokens": 4, "seconds": 0.5},
    {"type": "error", "id": 1, "kind": "bad_data", "message": "It broke.", "hint": "Mend it."},
]  # fmt: skip
SEGMENTS = [{"text": "<|user|> Hi", "learned": False, "cut": False}, {"text": "Yes.", "learned": True, "cut": True}]
INSPECT: list[Any] = [
    {"type": "ready", "rows": 9, "kept": 8, "train_rows": 7, "eval_rows": 1, "scan": None, "why": "", "hint": ""},
    {"type": "row", "index": 0, "file": "", "line": 1, "raw": {"a": "b"}, "problem": "", "text": "", "shape": "text",
     "segments": SEGMENTS, "tokens": 9, "start": 4, "learned_tokens": 3, "max_seq_length": 7, "truncated": True,
     "split": "train", "why": "", "ids": [[1, "a"], [2, "b"]]},
    {"type": "progress", "what": "tokenising", "done": 3, "total": 9},
    {"type": "digest", "scan": "/nowhere", "lengths": None, "cached": False, "why": "", "hint": ""},
]  # fmt: skip


def workers(bench: Bench) -> Try:
    """What a worker says: to the chat, to the viewer of rows, to the commands."""
    run = make_run(bench.home)
    rows = bench.home / "rows.jsonl"
    rows.write_text('{"instruction": "a", "response": "b"}\n' * 4)

    async def chat() -> None:
        talk = Conversation(run, lambda: None)
        await talk.ask("Hi")
        await asyncio.wait_for(asyncio.shield(talk._reading), 30) if talk._reading else None  # type: ignore[arg-type]
        if talk.busy or talk.status in ("loading", "answering"):
            bench.fail("chat", f"waits for ever: {talk.status}")
        await talk.close()

    async def read() -> None:
        reader = RowReader(run, lambda: None, lambda message: None)
        await reader.start()
        await asyncio.wait_for(asyncio.shield(reader._reading), 30) if reader._reading else None  # type: ignore[arg-type]
        if reader.status not in ("failed", "off"):
            bench.fail("rows", f"waits for ever: {reader.status}")
        if row := reader.row:
            shown = [facts(row), *raw(row.get("raw")), *as_seen(row), *one_by_one(row, True), *one_by_one(row, False)]
            _harmless(bench, "row", *(getattr(part, "plain", part) for part in shown))
        await reader.close()

    def try_one(mutate: Mutator) -> None:
        code = mutate.random.choice((0, 0, 0, 1, -9, -11, -40, 255))
        said = {"chat": mutate.json_lines(CHAT), "inspect": mutate.json_lines(INSPECT)}

        async def start(_python: Path, arguments: list[str]) -> Worker:
            return Worker(FakeProcess(said[arguments[0]], code))  # type: ignore[arg-type]

        with (
            patch.object(Worker, "start", start), patch("codex_tui.workers.process.interpreter_of", nowhere),
            patch("codex_tui.environment.build.find_python", nowhere), bench.untouched("cache"),
        ):  # fmt: skip
            with bench.guard("chat"):
                asyncio.run(chat())
            with bench.guard("rows"):
                asyncio.run(read())
            bench.command("chat", run.name, "--prompt", "Hi", terminal=True, allowed=(0, 1, 2))
            bench.command("data", "check", rows, "--profile", "demo", allowed=(0, 2))

    return try_one


def nowhere(*_: object) -> Path:
    return Path(NOWHERE)


def _harmless(bench: Bench, what: str, *texts: str) -> None:
    if bad := CONTROL.search("".join(texts).replace("\n", "")):
        bench.fail(what, f"shows {bad[0]!r}")


def asked(bench: Bench) -> Try:
    """What the app says to its workers: each line is answered in JSON, and none of them ends the worker."""
    run = make_run(bench.home)
    lines = [
        {"type": "generate", "id": 1, "messages": [{"role": "user", "content": "Hi"}], "adapter": True},
        {"type": "stop", "id": 1}, {"type": "row", "index": 3, "ids": True, "max_seq_length": 9}, {"type": "cancel"},
    ]  # fmt: skip

    def try_one(mutate: Mutator) -> None:
        said = b"\n".join(mutate.json_lines(lines) for _ in range(2))
        for module, serve in ((chat_worker, chat_worker.serve), (inspect_worker, inspect_worker.serve)):
            out = io.BytesIO()

            def pipe(self: Any, out: io.BytesIO = out) -> None:
                self._out, self._lock = out, threading.Lock()

            with (
                patch("training.workers.pipe.Pipe.__init__", pipe), patch("sys.stdin", Mock(buffer=io.BytesIO(said))),
                patch.object(chat_worker, "Speaker", Listener), patch.object(module.threading, "Thread", Mock()),
                patch("os._exit", lambda code: None), contextlib.redirect_stderr(io.StringIO()),
                bench.untouched("cache", "datasets"), bench.guard(module.__name__),
            ):  # fmt: skip
                serve(run.path)
            answers = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
            if not answers or answers[0].get("type") != "ready":
                bench.fail(module.__name__, f"was not ready: {answers[:1]}")

    return try_one


class Listener(chat_worker.Speaker):
    """The chat worker without a model."""

    device, has_adapter, step = "cpu", False, None

    def __init__(self, *_: object) -> None:
        self._stopped = set()
