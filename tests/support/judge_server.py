"""A server on this machine that answers like an OpenAI-compatible endpoint, and fails like one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

KEY = "sk-test-0123456789abcdef"


@dataclass
class Reply:
    """What the server sends. `hangs`: nothing, until the server ends."""

    text: str = "VERDICT: A"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hangs: bool = False

    def encode(self) -> bytes:
        if self.body is not None:
            return self.body
        if self.status != 200:
            return json.dumps({"error": {"message": self.text}}).encode()
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": self.text}}]}).encode()


class JudgeServer:
    """Answers each request with `answer(its body, the number of the request)`. `requests` and `keys` are what came."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Reply]) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.ended = Event()
        self.url = ""

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.requests.append({"path": handler.path, **body})
        self.keys.append(handler.headers["Authorization"])
        reply = self.answer(body, len(self.requests) - 1)
        if reply.hangs:
            self.ended.wait()
            return
        data = reply.encode()
        handler.send_response(reply.status)
        for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)


@contextmanager
def serve(answer: Callable[[dict[str, Any], int], Reply]) -> Iterator[JudgeServer]:
    judge = JudgeServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            judge.take(self)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    judge.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        judge.ended.set()
        server.shutdown()
        server.server_close()


def prefer(word: str) -> Callable[[dict[str, Any], int], Reply]:
    """A judge that prefers the answer with `word`, wherever it stands; a tie if both or none has it."""

    def answer(body: dict[str, Any], _: int) -> Reply:
        prompt = body["messages"][1]["content"]
        first, second = (word in prompt.partition(f"<answer_{letter}>")[2].partition("</answer_")[0] for letter in "AB")
        return Reply("VERDICT: " + ("TIE" if first == second else "A" if first else "B"))

    return answer
