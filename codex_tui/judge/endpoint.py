"""Asks a model behind an OpenAI-compatible endpoint: one request at a time, with limits, and with one sentence for each
failure. The key is sent in a header and is in no message."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.parse import urlsplit

from codex_tui.base.errors import CodexError
from codex_tui.base.http import NoRedirect, read_retry_after
from codex_tui.base.text import shorten
from training.contract.secrets import redact_secrets

TIMEOUT_SECONDS = 120.0
MAX_ANSWER_BYTES = 4 * 2**20
MAX_TRIES = 6
MAX_WAIT_SECONDS = 120.0
MAX_DETAIL = 200  # characters of the server's own explanation
NO_KEY_HINT = "Name the environment variable with your key: codex-tui config judge_model.key_env NAME"
KEPT = "The verdicts so far are kept: the same command goes on from here."

T = TypeVar("T")


class NoReply(Exception):
    """The server gave no reply that can be read, but it may to the next request."""


class _Busy(Exception):
    """The server wants to be asked again after `seconds`."""

    def __init__(self, reason: str, seconds: float) -> None:
        self.reason, self.seconds = reason, seconds
        super().__init__(reason)


class _TemperatureRefused(Exception):
    """The model accepts no temperature."""


@dataclass(frozen=True)
class Endpoint:
    """`url` is the base URL, which ends before /chat/completions."""

    url: str
    model: str
    key: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """The server's name for a message, without anything that may be secret."""
        parts = urlsplit(self.url)
        return parts.hostname + (f":{parts.port}" if parts.port else "") if parts.hostname else self.url

    async def ask(self, system: str, user: str, on_wait: Callable[[str, float], None]) -> str:
        """Return the model's reply. Calls `on_wait` with the reason and the seconds when it has to wait.

        Raises CodexError if the server refuses or can't be reached, NoReply if only this request failed.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body: dict[str, Any] = {"model": self.model, "messages": messages, "temperature": 0}
        for place in range(MAX_TRIES):
            try:
                return await _run_in_daemon(lambda: self._post(body))
            except _Busy as busy:
                if place == MAX_TRIES - 1:
                    raise CodexError(f"{self.server} refused {MAX_TRIES} times: {busy.reason}.", KEPT) from None
                wait = min(busy.seconds or 2.0 * 2**place, MAX_WAIT_SECONDS)
                on_wait(busy.reason, wait)
                await asyncio.sleep(wait)
            except _TemperatureRefused:
                del body["temperature"]  # some models think first, and always at their own temperature
        raise AssertionError

    def _post(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "codex-tui"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        url = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=TIMEOUT_SECONDS) as answer:
                return _read_reply(answer.read(MAX_ANSWER_BYTES + 1))
        except urllib.error.HTTPError as error:
            with error:
                raise self._explain_status(error, "temperature" in body) from None
        except TimeoutError:
            raise NoReply(f"no reply within {TIMEOUT_SECONDS:.0f} seconds") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise NoReply(f"no connection within {TIMEOUT_SECONDS:.0f} seconds") from None
            why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise CodexError(f"The judge model at {self.server} can't be reached: {self._clean(why)}.", KEPT) from None

    def _explain_status(self, error: urllib.error.HTTPError, has_temperature: bool) -> Exception:
        status, detail = error.code, self._clean(_read_detail(error))
        said = f" It says: {detail}" if detail else ""
        if status == 429:
            return _Busy("too many requests (429)", read_retry_after(error.headers.get("Retry-After")))
        if status >= 500:
            return _Busy(f"its own error ({status})", read_retry_after(error.headers.get("Retry-After")))
        if status == 400 and has_temperature and "temperature" in detail.lower():
            return _TemperatureRefused()
        if status in (401, 403):
            hint = "Check judge_model.key_env, and the variable that it names." if self.key else NO_KEY_HINT
            return CodexError(f"{self.server} refused the key ({status}).{said}", hint)
        if status in (301, 302, 303, 307, 308):
            hint = "Set judge_model.url to the address that it leads to: the key is never sent to another one."
            return CodexError(f"{self.server} redirects the request ({status}).", hint)
        hint = "Check judge_model.url, which ends before /chat/completions, and judge_model.model."
        return CodexError(f"{self.server} refused the request for {self.model} ({status}).{said}", hint)

    def _clean(self, text: str) -> str:
        """Remove the key, which servers like to repeat, and everything else that looks secret."""
        text = text.replace(self.key, "…") if self.key else text
        return redact_secrets(shorten(" ".join(text.split()), MAX_DETAIL))


def _read_reply(data: bytes) -> str:
    """Return the text of the first choice. Raises NoReply."""
    if len(data) > MAX_ANSWER_BYTES:
        raise NoReply(f"a reply of more than {MAX_ANSWER_BYTES >> 20} MiB")
    try:
        text = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NoReply("a reply that is none of a chat model") from None
    if not isinstance(text, str):
        raise NoReply("a reply without a text")
    return text


def _read_detail(error: urllib.error.HTTPError) -> str:
    """Return the server's own explanation, "" if it gives none."""
    try:
        values = json.loads(error.read(64 * 1024))
        found = values.get("error", values.get("message", values.get("detail", "")))
        return str(found.get("message", "") if isinstance(found, dict) else found)
    except (OSError, HTTPException, ValueError, AttributeError, RecursionError):
        return ""


async def _run_in_daemon(work: Callable[[], T]) -> T:
    """Run `work` in a thread that neither a cancelled task nor the end of the program waits for."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def finish(set_result: Callable[[Any], None], value: Any) -> None:
        if not result.done():
            set_result(value)

    def run() -> None:
        try:
            args: tuple[Callable[[Any], None], Any] = (result.set_result, work())
        except Exception as error:  # noqa: BLE001  the task raises it
            args = (result.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed, because the program ends
            loop.call_soon_threadsafe(finish, *args)

    threading.Thread(target=run, daemon=True).start()
    return await result
