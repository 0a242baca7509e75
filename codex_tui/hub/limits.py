"""Bounds the answers of the Hub, so that one without end fills neither memory nor disk, and reports their bytes.

`huggingface_hub` reads the description of a repository into memory as a whole, and writes a file until the server ends.
Its HTTP package depends on its version (httpx or httpx2), so this module takes the classes from the library's client.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress

MAX_ANSWER_BYTES = 64 * 2**20  # the description of a repository of 200,000 files has 50 MB
MIN_REPORTED_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20


class AnswerLimits:
    """`max_file_bytes` is the announced size of the largest file to download; None if none was announced."""

    def __init__(self, repo: str, endpoint: str, report: OnProgress) -> None:
        self.max_file_bytes: int | None = None
        self._repo, self._endpoint, self._report = repo, endpoint, report
        self._described_bytes = 0  # of all answers that describe the repository

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Apply the limits to every request of the library inside the block."""
        from huggingface_hub import set_client_factory
        from huggingface_hub.utils._http import default_client_factory

        def make_client() -> Any:
            client = default_client_factory()
            client.headers["Accept-Encoding"] = "gzip"  # an encoding whose decoded bytes can be counted here
            client.event_hooks["response"].append(self._bound)
            return client

        set_client_factory(make_client)
        try:
            yield
        finally:
            set_client_factory(default_client_factory)

    def _bound(self, response: Any) -> None:
        announced = int(response.headers.get("Content-Length") or 0)
        if "/api/" in response.request.url.path or response.status_code >= 300:
            limit, before = MAX_ANSWER_BYTES, self._described_bytes

            def count(received: int) -> None:
                self._described_bytes = before + received
                if self._described_bytes >= MIN_REPORTED_BYTES:
                    total = before + announced if announced else 0
                    self._report(Progress(f"reading the description of {self._repo}", before + received, total))
        else:
            limit = self.max_file_bytes or announced or MAX_ANSWER_BYTES

            def count(received: int) -> None:
                pass

        def refuse() -> CodexError:
            return CodexError(
                f"The Hub at {self._endpoint} sent more than {limit:,} bytes in one answer about {self._repo}.",
                "The answer has no end, or is larger than announced. Check HF_ENDPOINT, then try it again.",
            )

        inflate = zlib.decompressobj(31) if response.headers.get("Content-Encoding") == "gzip" else None
        response.stream = _bound_stream(response.stream, limit, inflate, count, refuse)


def _bound_stream(
    stream: Any, limit: int, inflate: Any, count: Callable[[int], None], refuse: Callable[[], CodexError]
) -> Any:
    """Return a stream like `stream` that raises an error after `limit` bytes, decoded by `inflate` if it is given."""
    base = sys.modules[type(stream).__module__.partition(".")[0]].SyncByteStream

    class Bounded(base):  # type: ignore[misc, valid-type]
        def __iter__(self) -> Iterator[bytes]:
            received = 0
            for chunk in stream:
                for size in _decoded_sizes(inflate, chunk) if inflate else [len(chunk)]:
                    received += size
                    if received > limit:
                        raise refuse()
                count(received)
                yield chunk

        def close(self) -> None:
            stream.close()

    return Bounded()


def _decoded_sizes(inflate: Any, chunk: bytes) -> Iterator[int]:
    while chunk:
        yield len(inflate.decompress(chunk, BLOCK_BYTES))
        chunk = inflate.unconsumed_tail
