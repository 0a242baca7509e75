"""Asks the far end (`far_end.py`), and reads the frames of its answer."""

from __future__ import annotations

import base64
import functools
import json
import select
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from codex_tui.engines.ssh import far_end
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import Unreachable
from codex_tui.engines.ssh.link.stream import Stream

SILENT_SECONDS = 3 * far_end.BEAT_SECONDS
MAX_HEADER_BYTES = 4096
MAX_FRAME_BYTES = 64 * 2**20


class Frame(msgspec.Struct):
    """What the far end sends.

    data: bytes of a growing file, from `offset` on; `end`: the file has no more now. restart: the file is another one
    than the mirror's, and is sent from its start. file: a small file as it is now, or that it is `gone`. beat: a sign
    of life. state: whether the run is live, and its folder. missing: there is no such run. listing: what the command
    `list_results` found.
    """

    kind: Literal["data", "restart", "file", "beat", "state", "missing", "listing"]
    size: int
    name: str = ""
    offset: int = 0
    end: bool = False
    gone: bool = False
    live: bool = False
    folder: str = ""
    data: bytes = b""


# Any Python that the app over there has runs the far end, whatever its version: a run may outlive an update.
_START = (
    'for python in "$0"/app/*/venv/bin/python "$(command -v python3)"; do '
    '[ -x "$python" ] && exec "$python" -c "$1" "$2"; done; echo "There is no Python." >&2; exit 127'
)


def ask(connection: Connection, root: str, command: str, seconds: float, **values: Any) -> Iterator[Frame]:
    """Run the far end, which answers within `seconds`, and yield its frames as they come. `root` is the folder of the
    app over there. Raises Unreachable, also if it gives no sign for a while, and RemoteFailed."""
    request = base64.b64encode(json.dumps({"command": command, **values}).encode()).decode()
    with connection.stream(["sh", "-c", _START, root, _make_program(), request], seconds) as stream:
        yield from _read_frames(connection.host, stream)


@functools.cache
def _make_program() -> str:
    """Return the far end as one line without characters that a login shell might change."""
    text = base64.b64encode(zlib.compress(Path(far_end.__file__).read_bytes(), 9)).decode()
    return f"import base64,zlib;exec(zlib.decompress(base64.b64decode('{text}')))"


def _read_frames(host: str, stream: Stream) -> Iterator[Frame]:
    received = bytearray()
    while header := _read_header(host, stream, received):
        while len(received) < header.size:
            if not _read_more(host, stream, received):
                stream.finish()  # says why
                raise _explain(host)
        header.data = bytes(received[: header.size])
        del received[: header.size]
        yield header
    stream.finish()


def _read_header(host: str, stream: Stream, received: bytearray) -> Frame | None:
    while (end := received.find(b"\n")) < 0 and len(received) <= MAX_HEADER_BYTES:
        if not _read_more(host, stream, received):
            return None
    with suppress(ValueError):
        frame = msgspec.json.decode(received[: max(0, end)], type=Frame)
        if 0 <= frame.size <= MAX_FRAME_BYTES:
            del received[: end + 1]
            return frame
    raise _explain(host)


def _read_more(host: str, stream: Stream, received: bytearray) -> bool:
    if not select.select([stream], [], [], SILENT_SECONDS)[0]:
        raise Unreachable(host, f"no answer for {SILENT_SECONDS:.0f} s", "Check the network.")
    data = stream.read()
    received += data
    return bool(data)


def _explain(host: str) -> Unreachable:
    return Unreachable(host, "its answer can't be understood", "Try: codex-tui remote doctor")
