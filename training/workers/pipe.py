"""The worker's end of two pipes: one JSON object a line, in on stdin, out on stdout."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec

from training.contract import failures
from training.contract.secrets import redact_tokens


class Pipe:
    """Keeps the real stdout for itself and gives everyone else stderr, so that no library's print can break a line."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Safe from several threads. Raises BrokenPipeError when the other end has gone."""
        line = msgspec.json.encode(message) + b"\n"
        with self._lock:
            self._out.write(line)

    def send_error(self, error: BaseException, request: Any = None) -> None:
        """Tells of a failure; `request` is the id of what was asked for, if anything was."""
        print(redact_tokens("".join(traceback.format_exception(error))), file=sys.stderr)  # noqa: T201
        failure = failures.classify(error)
        self.send(
            {
                "type": "error",
                "id": request,
                "kind": failure.kind,
                "message": failure.message,
                "hint": failure.hint,
            }
        )

    def messages(self) -> Iterator[dict[str, Any]]:
        """What comes in, until the other end closes. A line that is no object is answered with an error."""
        for line in sys.stdin.buffer:
            try:
                message = msgspec.json.decode(line, type=dict[str, Any])
            except (ValueError, RecursionError) as error:
                self.send_error(failures.TrainingFailure("unknown", f"Not a message: {error}."))
            else:
                yield message
