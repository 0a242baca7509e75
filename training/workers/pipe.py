"""The worker's end of two pipes: it reads requests from stdin and writes answers to stdout, one JSON object a line."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Generic

from training.contract import failures
from training.contract.messages import Answer, NotUnderstood, Request, WorkerError, WorkerProtocol, encode
from training.contract.secrets import redact_secrets


class Pipe(Generic[Request, Answer]):
    """Keeps the real stdout for messages and sends all other output to stderr, so that no print can break a line."""

    def __init__(self, protocol: WorkerProtocol[Request, Answer]) -> None:
        self._protocol = protocol
        self._lock = threading.Lock()
        sys.stdout.flush()
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def send(self, answer: Answer | WorkerError) -> None:
        """Can be called from several threads. Raises BrokenPipeError if the app has closed its end."""
        line = encode(answer)
        with self._lock:
            self._out.write(line)

    def send_error(self, error: BaseException, request: int | None = None) -> None:
        """Sends a failure: of the request with the id `request`, or of the whole worker."""
        print(redact_secrets("".join(traceback.format_exception(error))), file=sys.stderr)  # noqa: T201
        failure = failures.classify(error)
        self.send(WorkerError(id=request, kind=failure.kind, message=failure.message, hint=failure.hint))

    def requests(self) -> Iterator[Request]:
        """The requests until the app closes its end. A line that is no request is answered with an error."""
        for line in sys.stdin.buffer:
            try:
                request = self._protocol.read_request(line)
            except NotUnderstood as error:
                self.send_error(failures.TrainingFailure("unknown", f"Not a message: {error}."))
            else:
                yield request
