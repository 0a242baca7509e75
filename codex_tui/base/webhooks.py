"""Sends a notice to a webhook: a topic of ntfy, or an address that takes Slack's JSON.

A message about a webhook names its server alone: the address and the token are secrets, which servers like to repeat.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.header import Header
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from codex_tui.base import locations, settings
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.http import NoRedirect, read_retry_after
from codex_tui.base.text import clean, shorten
from training.contract.secrets import redact_secrets

if TYPE_CHECKING:
    from codex_tui.base.settings_schema import WebhookKind

TIMEOUT_SECONDS = 10.0
WAITS = (2.0, 8.0)  # seconds before the second and the third try
MAX_WAIT_SECONDS = 15.0  # however long a server asks for
MAX_ANSWER_BYTES = 16 * 1024
MAX_DETAIL = 200  # characters of the server's own words
MIN_SECRET = 4  # characters of a part of the address that a server's words must not repeat


class Notice(NamedTuple):
    """What a webhook is told. It has no path of this machine and nothing of a dataset: it goes to other machines."""

    title: str
    message: str
    urgent: bool = False


class NotSent(CodexError):
    """A notice that a webhook did not take. The message has no secret."""


class _Busy(Exception):
    """The server may take the notice later. `seconds` is the time that it asks for, 0 if it names none."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        self.reason, self.seconds = reason, seconds
        super().__init__(reason)


@dataclass(frozen=True)
class Webhook:
    name: str
    kind: WebhookKind
    url: str = field(repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def from_settings(cls, hook: settings.WebhookSettings) -> Webhook:
        """Raises BadInput if the settings name no kind or no address, or one that must not be used."""
        from codex_tui.base.settings_schema import find_url_problem  # which takes milliseconds to import

        prefix = f"webhook.{hook.name}"
        url = settings.find_secret(hook.url_env, hook.url, f"{prefix}.url")
        if not url or not hook.kind:
            missing = "kind" if url else "url"
            example = "kind ntfy" if url else "url_env VARIABLE"
            raise BadInput(f"The webhook {hook.name} has no {missing}.", f"Set it: codex-tui config {prefix}.{example}")
        if problem := find_url_problem(url, hook.lan):
            raise BadInput(
                f"The address of the webhook {hook.name} {problem}.", f"Edit it: {locations.settings_file()}"
            )
        token = settings.find_secret(hook.token_env, hook.token, f"{prefix}.token")
        return cls(hook.name, hook.kind, url, token)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{self.name} ({self.kind} at {host}{f':{parts.port}' if parts.port else ''})"

    def send(self, notice: Notice, wait: Callable[[float], None] = time.sleep) -> str:
        """Send `notice` and return the server's words. A server that is busy or can't be reached is asked again, twice.
        Raises NotSent."""
        for seconds in (*WAITS, None):
            try:
                return self._post(notice)
            except _Busy as busy:
                if seconds is None:
                    raise NotSent(f"The webhook {self} {busy.reason}, {len(WAITS) + 1} times.", "") from None
                wait(min(busy.seconds or seconds, MAX_WAIT_SECONDS))
        raise AssertionError

    def _post(self, notice: Notice) -> str:
        headers, body = (_encode_ntfy if self.kind == "ntfy" else _encode_slack)(notice)
        headers["User-Agent"] = "codex-tui"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            request = urllib.request.Request(self.url, body, headers, method="POST")
            with urllib.request.build_opener(NoRedirect).open(request, timeout=TIMEOUT_SECONDS) as answer:
                return self._describe(answer.status, answer.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                raise self._explain_status(error) from None
        except TimeoutError:
            raise _Busy(f"did not answer within {TIMEOUT_SECONDS:.0f} seconds") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _Busy(f"can't be reached within {TIMEOUT_SECONDS:.0f} seconds") from None
            why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise _Busy(f"can't be reached ({self._clean(why)})") from None

    def _explain_status(self, error: urllib.error.HTTPError) -> Exception:
        words = b""
        with suppress(OSError, HTTPException):
            words = error.read(MAX_ANSWER_BYTES)
        answer = self._describe(error.code, words)
        if error.code == 429 or error.code >= 500:
            return _Busy(f"refused the notice ({answer})", read_retry_after(error.headers.get("Retry-After")))
        if 300 <= error.code < 400:
            return NotSent(
                f"The webhook {self} redirects the notice ({error.code}).",
                "Set the address that it leads to: a notice is never sent to another one.",
            )
        hint = f"Check webhook.{self.name} in {locations.settings_file()}, then: codex-tui tell --test"
        return NotSent(f"The webhook {self} refused the notice ({answer}).", hint)

    def _describe(self, status: int, words: bytes) -> str:
        text = self._clean(words.decode(errors="replace"))
        return f"{status}: {text}" if text else str(status)

    def _clean(self, text: str) -> str:
        """Remove the token, the address and its parts, and everything else that looks secret."""
        parts = urlsplit(self.url)
        secrets = [self.token, self.url, parts.path, parts.query, *parts.path.split("/"), *parts.query.split("&")]
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= MIN_SECRET:
                text = text.replace(secret, "…")
        return shorten(redact_secrets(clean(" ".join(text.split()))), MAX_DETAIL)


def _encode_ntfy(notice: Notice) -> tuple[dict[str, str], bytes]:
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Title": _encode_header(notice.title),
        "Priority": "high" if notice.urgent else "default",
        "Tags": "warning" if notice.urgent else "robot",
    }
    return headers, (notice.message or notice.title).encode()


def _encode_header(text: str) -> str:
    """Return `text` as a header may have it: ASCII on one line, with other letters as RFC 2047 writes them."""
    return text if text.isascii() and text.isprintable() else Header(text, "utf-8", maxlinelen=10_000).encode()


def _encode_slack(notice: Notice) -> tuple[dict[str, str], bytes]:
    text = f"*{_escape_slack(notice.title)}*\n{_escape_slack(notice.message)}".strip()
    return {"Content-Type": "application/json"}, json.dumps({"text": text}).encode()


def _escape_slack(text: str) -> str:
    """Write `text` so that it has no link and calls nobody: a name with @everyone would, in Discord and Mattermost."""
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "@\u200b")):
        text = text.replace(character, escape)
    return text
