"""Requests with JSON to a server on this machine, and answers that come in pieces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from typing import Any

REQUEST_SECONDS = 600.0


class Refused(Exception):
    """The server answered a request with an error. `reason` is its own, "" if it gives none."""

    def __init__(self, path: str, status: int, content: bytes) -> None:
        self.path, self.status, self.reason = path, status, ""
        with contextlib.suppress(ValueError, LookupError, TypeError):
            self.reason = str(json.loads(content)["error"]["message"])
        super().__init__(f"{path}: {self.reason or status}")


class JsonClient:
    """Every method raises Refused, OSError, HTTPException, and ValueError for an answer that is no JSON."""

    def __init__(self, host: str, port: int, key: str) -> None:
        """`key` is "" if the server asks for none."""
        self._host, self._port, self._key = host, port, key

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, seconds: float = 0.0) -> Any:
        """Return the answer. `seconds` is the time limit, 0 the usual one."""
        return await asyncio.to_thread(self._call, method, path, body, seconds or REQUEST_SECONDS)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float) -> Any:
        with contextlib.closing(HTTPConnection(self._host, self._port, timeout=seconds)) as connection:
            return json.loads(self._send(connection, method, path, body).read())

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Yield the pieces of an answer as they come. The server stops writing when the iteration ends."""
        pieces: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        connection = HTTPConnection(self._host, self._port, timeout=REQUEST_SECONDS)

        def put(piece: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def read() -> None:
            try:
                for line in self._send(connection, "POST", path, {**body, "stream": True}):
                    if line.startswith(b"data: {"):
                        put(json.loads(line.removeprefix(b"data: ")))
            except AttributeError:
                put(None)  # the connection was closed while this thread read from it
            except Exception as error:  # noqa: BLE001  raised in the other thread
                put(error)
            else:
                put(None)

        reading = asyncio.create_task(asyncio.to_thread(read))
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            if connection.sock:  # wakes the thread
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            await asyncio.shield(reading)
            connection.close()

    def _send(self, connection: HTTPConnection, method: str, path: str, body: Mapping[str, Any] | None) -> HTTPResponse:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise Refused(path, answer.status, answer.read())
        return answer
