"""Workers that send the app broken messages, and an app that sends its workers broken requests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import msgspec

from codex_tui.ui.data.row_view import describe_row, draw_model_view, draw_raw, draw_tokens
from codex_tui.workers.chat import Conversation
from codex_tui.workers.inspect import RowReader
from codex_tui.workers.process import Worker
from support.fuzz.checks import CONTROL, NOWHERE, FuzzSession, TryInput
from support.fuzz.mutate import Mutator
from support.fuzz.runs import make_run
from training.contract.chat_messages import AnswerBegin, AnswerEnd, ChatReady, Generate, StopAnswer, Token
from training.contract.config import RowForm
from training.contract.inspect_messages import (
    Cancel,
    InspectProgress,
    InspectReady,
    RenderedRow,
    RenderedSequence,
    Segment,
    ShowRow,
    StatsReady,
    Tokenise,
)
from training.contract.messages import Loading, Message, WorkerError, WorkerProtocol
from training.workers import chat as chat_worker
from training.workers import inspect as inspect_worker

SILENCE_LIMIT = 60.0  # seconds


class FakeProcess:
    """A process that has written all its output and has ended."""

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


CHAT_ANSWERS: list[Message] = [
    Loading(detail="loading", done=1, total=2),
    ChatReady(device="cpu", has_adapter=True, form=RowForm(system_prompt="Be brief.", max_tokens=9), context=20),
    AnswerBegin(id=1, tokens=9, left_out=2),
    *(Token(id=1, text=f"word {n} ") for n in range(4)),
    AnswerEnd(id=1, reason="eos", tokens=4, seconds=0.5),
    WorkerError(id=1, kind="bad_data", message="It broke.", hint="Mend it."),
]
INSPECT_ANSWERS: list[Message] = [
    InspectReady(rows=9, kept=8, train_rows=7, eval_rows=1),
    RenderedRow(
        index=0, line=1, raw={"a": "b"}, shape="text", max_seq_length=7, split="train",
        sequences=[RenderedSequence(
            segments=[Segment("<|user|> Hi"), Segment("Yes.", learned=True, cut=True)], tokens=9, spans=[(4, 9)],
            learned_tokens=3, ids=[(1, "a"), (2, "b")],
        )],
    ),
    InspectProgress(what="tokenising", done=3, total=9),
    StatsReady(scan="/nowhere", lengths=None),
]  # fmt: skip
REQUESTS: list[Message] = [
    Generate(id=1, messages=[{"role": "user", "content": "Hi"}], top_p=0.5, seed=7, system_prompt="Be brief."),
    StopAnswer(id=1),
    ShowRow(index=3, ids=True, max_seq_length=9),
    Tokenise(),
    Cancel(),
]


def fuzz_worker_answers(session: FuzzSession) -> TryInput:
    """What a worker answers: to the chat, to the row reader, to the commands."""
    run = make_run(session.home)
    rows = session.home / "rows.jsonl"
    rows.write_text('{"instruction": "a", "response": "b"}\n' * 4)

    async def chat() -> None:
        talk = Conversation(run, lambda: None)
        await talk.ask("Hi")
        await asyncio.wait_for(asyncio.shield(talk._reading), 30) if talk._reading else None  # type: ignore[arg-type]
        if talk.busy or talk.status in ("loading", "answering"):
            session.fail("chat", f"waits for ever: {talk.status}")
        await talk.close()

    async def read() -> None:
        reader = RowReader(run, lambda: None, lambda message: None)
        await reader.start()
        await asyncio.wait_for(asyncio.shield(reader._reading), 30) if reader._reading else None  # type: ignore[arg-type]
        if reader.status not in ("failed", "off"):
            session.fail("rows", f"waits for ever: {reader.status}")
        if row := reader.row:
            shown = [
                describe_row(row),
                *draw_raw(row.raw),
                *draw_model_view(row),
                *draw_tokens(row, True),
                *draw_tokens(row, False),
            ]
            _expect_harmless(session, "row", *(getattr(part, "plain", part) for part in shown))
        await reader.close()

    def try_one(mutate: Mutator) -> None:
        code = mutate.random.choice((0, 0, 0, 1, -9, -11, -40, 255))
        answers = {"chat": CHAT_ANSWERS, "inspect": INSPECT_ANSWERS}
        said = {command: mutate.json_lines(msgspec.to_builtins(each)) for command, each in answers.items()}

        async def start(
            _python: Path, protocol: WorkerProtocol[Any, Any], *_: object, **_limits: object
        ) -> Worker[Any, Any]:
            return Worker(FakeProcess(said[protocol.command], code), protocol, SILENCE_LIMIT)  # type: ignore[arg-type]

        with (
            patch.object(Worker, "start", start),
            patch("codex_tui.environment.build.find_python", find_no_interpreter), session.expect_unchanged("cache"),
        ):  # fmt: skip
            with session.expect_no_crash("chat"):
                asyncio.run(chat())
            with session.expect_no_crash("rows"):
                asyncio.run(read())
            session.run_command("chat", run.name, "--prompt", "Hi", terminal=True, allowed=(0, 1, 2))
            session.run_command("data", "check", rows, "--profile", "demo", allowed=(0, 2))

    return try_one


def find_no_interpreter(*_: object) -> Path:
    return Path(NOWHERE)


def _expect_harmless(session: FuzzSession, what: str, *texts: str) -> None:
    if bad := CONTROL.search("".join(texts).replace("\n", "")):
        session.fail(what, f"shows {bad[0]!r}")


def fuzz_worker_requests(session: FuzzSession) -> TryInput:
    """What the app sends to its workers: the worker answers each line in JSON, and no line ends it."""
    run = make_run(session.home)
    lines = msgspec.to_builtins(REQUESTS)

    def try_one(mutate: Mutator) -> None:
        said = b"\n".join(mutate.json_lines(lines) for _ in range(2))
        for module, serve in ((chat_worker, chat_worker.serve), (inspect_worker, inspect_worker.serve)):
            out = io.BytesIO()

            def pipe(self: Any, protocol: WorkerProtocol[Any, Any], out: io.BytesIO = out) -> None:
                self._protocol, self._out, self._lock = protocol, out, threading.Lock()

            with (
                patch("training.workers.pipe.Pipe.__init__", pipe), patch("sys.stdin", Mock(buffer=io.BytesIO(said))),
                patch.object(chat_worker.ChatModel, "load", without_model),
                patch.object(module.threading, "Thread", Mock()),
                patch("os._exit", lambda code: None), contextlib.redirect_stderr(io.StringIO()),
                session.expect_unchanged("cache", "datasets"), session.expect_no_crash(module.__name__),
            ):  # fmt: skip
                serve(run.path)
            answers = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
            # On a slow machine the progress of the start and of the scan comes first.
            first = next((answer for answer in answers if answer.get("type") not in ("phase", "progress")), {})
            if first.get("type") != "ready":
                session.fail(module.__name__, f"was not ready: {answers[:3]}")

    return try_one


def without_model(*_: object) -> chat_worker.ChatModel:
    """A chat worker without a model."""
    return chat_worker.ChatModel("cpu", False, None, RowForm(), None, None, None, None)
