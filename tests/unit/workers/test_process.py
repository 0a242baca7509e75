"""A worker at the other end of two pipes: a real process that speaks the protocol."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fake_interpreter import fake_interpreter

from codex_tui.base.errors import CodexError
from codex_tui.workers.process import Worker, trainer_environment
from training.contract.messages import Message, WorkerError, WorkerProtocol


class Run(Message, tag="run"):
    """Asks the worker of these tests to run `code`, then to say `text`."""

    code: str = ""
    text: str = ""


class Said(Message, tag="said"):
    text: str


PROTOCOL: WorkerProtocol[Run, Said | WorkerError] = WorkerProtocol("chat", Run, Said | WorkerError)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))


@contextlib.asynccontextmanager
async def started(folder: Path, program: str = "echo_worker") -> AsyncIterator[Worker[Run, Said | WorkerError]]:
    worker = await Worker.start(fake_interpreter(folder, program), PROTOCOL, Path("a run"))
    try:
        yield worker
    finally:
        await worker.close()


async def failure(worker: Worker[Run, Said | WorkerError]) -> CodexError:
    """The error that ends the worker, which says nothing before."""
    with pytest.raises(CodexError) as caught:
        assert [message async for message in worker] == []
    return caught.value


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_messages_go_both_ways_and_it_ends_when_closed(tmp_path: Path) -> None:
    async with started(tmp_path) as worker:
        stream = aiter(worker)
        for text in ("zombie \x1b[2J 🧟", "x" * 1_000_000):
            await worker.send(Run(text=text))
            assert await anext(stream) == Said(text)
        assert os.getsid(worker.pid) == worker.pid != os.getsid(0)  # Ctrl-C in the terminal is the app's alone
    assert not is_there(worker.pid)
    with pytest.raises(CodexError, match="has ended"):
        await worker.send(Run())


async def test_what_is_no_message_is_passed_over(tmp_path: Path) -> None:
    other = ("no JSON", "[1]", "{", "{}", '{"text": "x"}', '{"type": "another"}', '{"type": "saida", "text": 1}')
    async with started(tmp_path) as worker:
        await worker.send(Run("; ".join(f"print({text!r})" for text in other), "heard"))
        assert await anext(aiter(worker)) == Said("heard")


@pytest.mark.parametrize(
    ("run", "told"),
    [("sys.exit('It broke.')", "with exit code 1"), ("import os; os.kill(os.getpid(), 9)", "by signal SIGKILL")],
)
async def test_a_worker_that_breaks_says_so_last(tmp_path: Path, run: str, told: str) -> None:
    async with started(tmp_path) as worker:
        await worker.send(Run(run))
        error = await failure(worker)
    assert error.message == f"The worker ended {told}."
    assert "ready to echo ['chat', 'a run']" in error.hint
    assert ("It broke." in error.hint) == ("exit" in told)
    assert ("where memory runs out" in error.hint) == ("SIGKILL" in told)


async def test_the_worker_s_own_reason_counts_more_than_its_exit_code(tmp_path: Path) -> None:
    """An error of one request is an answer; an error without a request is the end."""
    wrong = {"type": "error", "kind": "bad_data", "message": "It broke.", "hint": "Mend it."}
    async with started(tmp_path) as worker:
        await worker.send(Run(f"print(json.dumps({wrong | {'id': 3}}))", "goes on"))
        stream = aiter(worker)
        assert await anext(stream) == WorkerError(id=3, kind="bad_data", message="It broke.", hint="Mend it.")
        assert await anext(stream) == Said("goes on")
        await worker.send(Run(f"print(json.dumps({wrong} | {{'id': None}})); sys.exit(1)"))
        with pytest.raises(CodexError) as caught:
            await anext(stream)
    assert (caught.value.message, caught.value.hint) == ("It broke.", "Mend it.")


async def test_one_that_ends_well_says_nothing(tmp_path: Path) -> None:
    async with started(tmp_path) as worker:
        await worker.send(Run("sys.exit(0)"))
        assert [message async for message in worker] == []


async def test_one_that_does_not_listen_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.workers.process.GRACE_SECONDS", 0.1)
    async with started(tmp_path, "deaf_worker") as worker:
        assert await anext(aiter(worker)) == Said("deaf")
    assert worker._process.returncode == -signal.SIGKILL


async def test_one_that_can_not_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(CodexError, match="none can't be started: No such file"):
        await Worker.start(tmp_path / "none", PROTOCOL, tmp_path)


@pytest.mark.parametrize("message", ['{"type": "said", "text": 9}', '{"type": "said"}', '{"type": "said", "te'])
async def test_what_can_not_be_understood_ends_the_worker(tmp_path: Path, message: str) -> None:
    """A message with wrong types is followed by nothing that could be trusted."""
    await refused(tmp_path, f"print({message!r})")


async def test_a_line_that_is_too_long_ends_the_worker(tmp_path: Path) -> None:
    await refused(tmp_path, 'print(json.dumps({"type": "x" * (1 << 27)}))')


async def refused(folder: Path, code: str) -> None:
    async with started(folder) as worker:
        await worker.send(Run(code, "more"))
        assert "can't be understood" in (await failure(worker)).message
    assert not is_there(worker.pid)


async def test_no_token_is_repeated_from_what_it_complains_of(tmp_path: Path) -> None:
    async with started(tmp_path) as worker:
        await worker.send(Run(f"print('401 for hf_{'a1' * 17}', file=sys.stderr); sys.exit(1)"))
        assert "401 for hf_…" in (await failure(worker)).hint


def test_the_bytecode_of_the_stack_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # as in many containers
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    assert subprocess.check_output(command, env=trainer_environment(), text=True) == "False\n"
