"""The requests to an OpenAI-compatible endpoint: what is sent, and one clear error for each way to fail."""

from __future__ import annotations

import asyncio
import email.utils

import pytest
from support.judge_server import KEY, JudgeServer, Reply, serve

from codex_tui.base.errors import CodexError
from codex_tui.judge import endpoint as module
from codex_tui.judge.endpoint import Endpoint, NoReply


def ask(url: str, waits: list[tuple[str, float]] | None = None) -> str:
    taken = waits if waits is not None else []
    return asyncio.run(Endpoint(url, "large-1", KEY).ask("Judge.", "Q?", lambda *wait: taken.append(wait)))


def fail(*replies: Reply, waits: list[tuple[str, float]] | None = None) -> tuple[Exception, JudgeServer]:
    """Ask a server that gives these replies, the last one again and again. The key is in no message."""
    serving = serve(lambda _, number: replies[min(number, len(replies) - 1)])
    with serving as server, pytest.raises((CodexError, NoReply)) as raised:
        ask(server.url, waits)
    error = raised.value
    assert KEY not in f"{error} {getattr(error, 'hint', '')} {error!r}"
    return error, server


def test_what_is_sent_and_what_comes_back() -> None:
    with serve(lambda *_: Reply("I prefer A.")) as server:
        assert ask(server.url + "/") == "I prefer A."
    assert server.keys == [f"Bearer {KEY}"]
    [request] = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert (request["model"], request["temperature"]) == ("large-1", 0)
    assert [turn["content"] for turn in request["messages"]] == ["Judge.", "Q?"]
    assert KEY not in repr(Endpoint(server.url, "large-1", KEY))


def test_without_a_key_no_header_is_sent() -> None:
    with serve(lambda *_: Reply()) as server:
        assert asyncio.run(Endpoint(server.url, "m").ask("", "", lambda *_: None))
    assert server.keys == [None]


def test_a_wrong_key_is_said_at_once_and_never_repeated() -> None:
    error, server = fail(Reply(f"Incorrect API key provided: {KEY}.", 401))
    assert "refused the key (401). It says: Incorrect API key provided: …." in str(error)
    assert len(server.requests) == 1


def test_too_many_requests_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_SECONDS", 0.01)
    soon = email.utils.format_datetime(email.utils.localtime())
    replies = [
        Reply(status=429, headers={"Retry-After": "20"}),
        Reply(status=429, headers={"Retry-After": soon}),
        Reply(status=503),
        Reply("VERDICT: B"),
    ]
    waits: list[tuple[str, float]] = []
    with serve(lambda _, number: replies[number]) as server:
        assert ask(server.url, waits) == "VERDICT: B"
    assert [reason for reason, _ in waits] == ["too many requests (429)"] * 2 + ["its own error (503)"]
    error, server = fail(Reply(status=429, headers={"Retry-After": "9" * 400}))
    assert "refused 6 times: too many requests (429)" in str(error)
    assert len(server.requests) == module.MAX_TRIES


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        b"[" * 100_000,
    ],
)
def test_a_malformed_reply_fails_alone(body: bytes) -> None:
    error, server = fail(Reply(body=body))
    assert isinstance(error, NoReply)
    assert len(server.requests) == 1


def test_a_reply_without_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 1000)
    error, _ = fail(Reply("x" * 5000))
    assert isinstance(error, NoReply)


def test_a_silent_server_and_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    error, server = fail(Reply(hangs=True))
    assert isinstance(error, NoReply)
    with pytest.raises(CodexError, match=r"judge model at 127\.0\.0\.1:\d+ can't be reached: Connection refused"):
        ask(server.url)
    with pytest.raises(CodexError, match="can't be reached"):
        ask("http://nowhere.invalid/v1")


def test_a_redirect_is_not_followed_because_the_key_would_go_along() -> None:
    with serve(lambda *_: Reply()) as other:
        error, _ = fail(Reply(status=302, headers={"Location": f"{other.url}/chat/completions"}))
        assert "redirects the request (302)" in str(error)
        assert not other.requests


def test_a_model_that_accepts_no_temperature_is_asked_without() -> None:
    refusal = Reply("Unsupported value: 'temperature' does not support 0.", 400)
    with serve(lambda body, _: refusal if "temperature" in body else Reply("ok")) as server:
        assert ask(server.url) == "ok"
    error, _ = fail(Reply("no such model", 404))
    assert "refused the request for large-1 (404). It says: no such model" in str(error)


def test_a_cancelled_request_is_not_waited_for() -> None:
    async def cancel(url: str) -> None:
        task = asyncio.ensure_future(Endpoint(url, "m").ask("", "", lambda *_: None))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serve(lambda *_: Reply(hangs=True)) as server:
        asyncio.run(cancel(server.url))  # ends although the server is silent for two minutes
