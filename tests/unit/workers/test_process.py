"""A worker at the other end of two pipes: a real process that speaks the protocol."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fake_interpreter import fake_interpreter

from codex_tui.base.errors import CodexError
from codex_tui.workers.process import Worker

ECHO = """
    print("ready to echo", arguments, file=sys.stderr)
    for line in sys.stdin:
        message = json.loads(line)
        exec(message.get("run", ""))
        print(json.dumps(message), flush=True)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))


@contextlib.asynccontextmanager
async def started(folder: Path, body: str = ECHO) -> AsyncIterator[Worker]:
    worker = await Worker.start(fake_interpreter(folder, body), ["chat", "a run"])
    try:
        yield worker
    finally:
        await worker.close()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_messages_go_both_ways_and_it_ends_when_closed(tmp_path: Path) -> None:
    async with started(tmp_path) as worker:
        stream = aiter(worker)
        for message in ({"text": "zombie \x1b[2J 🧟"}, {"long": "x" * 1_000_000}):
            await worker.send(message)
            assert await anext(stream) == message
        assert os.getsid(worker.pid) == worker.pid != os.getsid(0)  # Ctrl-C in the terminal is the app's alone
    assert not is_there(worker.pid)
    with pytest.raises(CodexError, match="has ended"):
        await worker.send({})


async def test_what_is_no_message_is_passed_over(tmp_path: Path) -> None:
    async with started(tmp_path) as worker:
        await worker.send({"run": "print('no JSON'); print('[1]'); print('{')"})
        assert "run" in await anext(aiter(worker))


@pytest.mark.parametrize(
    ("run", "told"),
    [("sys.exit('It broke.')", "with exit code 1"), ("import os; os.kill(os.getpid(), 9)", "by signal SIGKILL")],
)
async def test_a_worker_that_breaks_says_so_last(tmp_path: Path, run: str, told: str) -> None:
    async with started(tmp_path) as worker:
        await worker.send({"run": run})
        [last] = [message async for message in worker]
    assert last["type"] == "error"
    assert last["id"] is None
    assert last["message"] == f"The worker ended {told}."
    assert "ready to echo ['chat', 'a run']" in last["hint"]
    assert ("It broke." in last["hint"]) == ("exit" in told)
    assert ("where memory runs out" in last["hint"]) == ("SIGKILL" in told)


async def test_one_that_ends_well_says_nothing(tmp_path: Path) -> None:
    async with started(tmp_path) as worker:
        await worker.send({"run": "sys.exit(0)"})
        assert [message async for message in worker] == []


async def test_one_that_does_not_listen_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.workers.process.GRACE_SECONDS", 0.1)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(99)"
    async with started(tmp_path, deaf) as worker:
        assert await anext(aiter(worker)) == {}
    assert worker._process.returncode == -signal.SIGKILL


async def test_one_that_can_not_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(CodexError, match="none can't be started: No such file"):
        await Worker.start(tmp_path / "none", ["chat"])


async def test_what_can_not_be_understood_ends_the_worker(tmp_path: Path) -> None:
    """A message whose types are wrong, or that is too long, is followed by nothing that could be trusted."""
    for said in ('print(json.dumps({"type": "ready", "rows": "9"}))', 'print(json.dumps({"type": "x" * (1 << 27)}))'):
        async with started(tmp_path) as worker:
            await worker.send({"run": f"{said}; print(json.dumps({{'type': 'ready', 'rows': 9}}))"})
            [last] = [message async for message in worker]
            assert (last["type"], last["id"]) == ("error", None)
            assert "can't be understood" in last["message"]
        assert not is_there(worker.pid)


async def test_no_token_is_repeated_from_what_it_complains_of(tmp_path: Path) -> None:
    async with started(tmp_path) as worker:
        await worker.send({"run": f"print('401 for hf_{'a1' * 17}', file=sys.stderr); sys.exit(1)"})
        [last] = [message async for message in worker]
    assert "401 for hf_…" in last["hint"]
