"""A server on this machine that takes notices as ntfy and Slack do, and fails as they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass
class Answer:
    """What the server sends. `hangs`: nothing, until the server ends."""

    status: int = 200
    words: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: str


class WebhookServer:
    def __init__(self, answer: Callable[[int], Answer]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.ended = Event()
        self.url = ""

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        self.requests.append(Request(handler.path, dict(handler.headers), body))
        answer = self.answer(len(self.requests) - 1)
        if answer.hangs:
            self.ended.wait()
            return
        handler.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.words)), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer.words)


@contextmanager
def serve(*answers: Answer) -> Iterator[WebhookServer]:
    """Serve `answers` one after the other, the last one again and again; without one, take every notice."""
    given = answers or (Answer(),)
    webhook = WebhookServer(lambda number: given[min(number, len(given) - 1)])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            webhook.take(self)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    webhook.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield webhook
    finally:
        webhook.ended.set()
        server.shutdown()
        server.server_close()
