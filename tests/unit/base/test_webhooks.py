"""A notice to a webhook: what is sent, what is never sent, and one clear sentence for each way to fail."""

from __future__ import annotations

import json
import socket
from email.header import decode_header, make_header

import pytest
from support.webhook_server import Answer, WebhookServer, serve

from codex_tui.base import locations, webhooks
from codex_tui.base.errors import BadInput
from codex_tui.base.settings import WebhookSettings
from codex_tui.base.webhooks import Notice, NotSent, Webhook

TOKEN = "tk_0123456789abcdef"
TOPIC = "my-secret-topic"
NOTICE = Notice("zömbies-1 failed", "The GPU ran out of memory, at step 3 of 9. <@here> @everyone", urgent=True)


def send(server: WebhookServer, kind: str = "ntfy", waits: list[float] | None = None) -> str:
    hook = Webhook("phone", kind, f"{server.url}/{TOPIC}", TOKEN)
    return hook.send(NOTICE, (waits if waits is not None else []).append)


def fail(*answers: Answer, waits: list[float] | None = None) -> tuple[str, WebhookServer]:
    """Send a notice that is not taken. No message has the token or the topic."""
    with serve(*answers) as server, pytest.raises(NotSent) as raised:
        send(server, waits=waits)
    text = f"{raised.value} {raised.value!r}"
    assert TOKEN not in text and TOPIC not in text
    assert server.url.removeprefix("http://") in text
    return text, server


def test_ntfy_gets_a_text_with_its_headers() -> None:
    with serve(Answer(words=b'{"topic":"my-secret-topic"}')) as server:
        assert send(server) == '200: {"topic":"…"}'
    [request] = server.requests
    assert (request.path, request.body) == (f"/{TOPIC}", NOTICE.message)
    assert str(make_header(decode_header(request.headers["Title"]))) == NOTICE.title
    assert (request.headers["Priority"], request.headers["Tags"]) == ("high", "warning")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_slack_gets_json_that_calls_nobody() -> None:
    with serve() as server:
        assert send(server, "slack") == "200: ok"
    text = json.loads(server.requests[0].body)["text"]
    assert text.startswith("*zömbies-1 failed*\nThe GPU ran out of memory")
    assert "<" not in text and "@here" not in text and "@everyone" not in text and "&lt;" in text


def test_a_busy_server_is_asked_again_and_takes_the_notice() -> None:
    waits: list[float] = []
    with serve(Answer(503), Answer(429, headers={"Retry-After": "5"}), Answer()) as server:
        assert send(server, waits=waits) == "200: ok"
    assert waits == [2.0, 5.0]
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_given_up_after_three_tries() -> None:
    waits: list[float] = []
    text, server = fail(Answer(500, b"<h1>oops</h1>", {"Retry-After": "99999"}), waits=waits)
    assert "refused the notice (500: <h1>oops</h1>), 3 times" in text
    assert len(server.requests) == 3
    assert waits == [webhooks.MAX_WAIT_SECONDS] * 2


def test_a_refusal_is_final_and_repeats_no_secret() -> None:
    text, server = fail(Answer(403, f"no access to {TOPIC} with {TOKEN}".encode()))
    assert "refused the notice (403: no access to … with …)" in text
    assert "webhook.phone" in text and "codex-tui tell --test" in text
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    with serve() as other:
        text, server = fail(Answer(307, headers={"Location": f"{other.url}/elsewhere"}))
    assert "redirects the notice (307)" in text
    assert (len(server.requests), len(other.requests)) == (1, 0)


def test_a_server_that_never_answers_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 0.1)
    text, server = fail(Answer(hangs=True))
    assert "did not answer within" in text
    assert len(server.requests) == 3


def test_a_dead_server_is_tried_three_times() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waits: list[float] = []
    with pytest.raises(NotSent, match=r"can't be reached \(Connection refused\), 3 times"):
        Webhook("phone", "ntfy", f"http://127.0.0.1:{port}/{TOPIC}").send(NOTICE, waits.append)
    assert waits == [2.0, 8.0]


def test_the_secrets_are_in_no_repr() -> None:
    assert TOKEN not in repr(Webhook("phone", "ntfy", f"https://ntfy.sh/{TOPIC}", TOKEN))
    assert TOPIC not in repr(Webhook("phone", "ntfy", f"https://ntfy.sh/{TOPIC}", TOKEN))
    assert str(Webhook("phone", "ntfy", f"https://ntfy.sh/{TOPIC}", TOKEN)) == "phone (ntfy at ntfy.sh)"


@pytest.mark.usefixtures("empty_home")
def test_the_address_and_the_token_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "https://ntfy.sh/topic")
    monkeypatch.setenv("HOOK_TOKEN", TOKEN)
    hook = Webhook.from_settings(WebhookSettings("phone", "ntfy", url_env="HOOK", token_env="HOOK_TOKEN"))
    assert (hook.url, hook.token) == ("https://ntfy.sh/topic", TOKEN)


@pytest.mark.usefixtures("empty_home")
@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (WebhookSettings("phone", "ntfy"), "The webhook phone has no url."),
        (WebhookSettings("phone", url_env="HOOK"), "The webhook phone has no kind."),
        (WebhookSettings("phone", "ntfy", url_env="NO_HOOK"), "The environment variable NO_HOOK is empty."),
        (WebhookSettings("phone", "ntfy", url_env="PLAIN"), "begins with http://"),
        (WebhookSettings("phone", "ntfy", url_env="BAD"), "begins with https://"),
        (WebhookSettings("phone", "ntfy", url="https://ntfy.sh/topic"), "other users may read it"),
    ],
)
def test_a_webhook_that_cant_be_used_says_why(
    chosen: WebhookSettings, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOOK": "https://ntfy.sh/topic", "PLAIN": "http://ntfy.sh/topic", "BAD": "ftp://x/y"}.items():
        monkeypatch.setenv(name, value)
    locations.settings_file().parent.mkdir(parents=True, exist_ok=True)
    locations.settings_file().write_text("")
    locations.settings_file().chmod(0o644)
    with pytest.raises(BadInput) as raised:
        Webhook.from_settings(chosen)
    assert said in raised.value.message
    assert "topic" not in str(raised.value)
