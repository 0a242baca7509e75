"""The worker's end of two pipes: it reads requests from stdin and writes answers to stdout, one JSON object a line."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic

from training.contract import failures
from training.contract.messages import Answer, Loading, NotUnderstood, Request, WorkerError, WorkerProtocol, encode
from training.contract.process import die_with_parent
from training.contract.secrets import redact_secrets

REPEAT_SECONDS = 5.0
MIN_CPU_SECONDS = 0.002  # between two repetitions; the thread that repeats needs less


class Pipe(Generic[Request, Answer]):
    """Keeps the real stdout for messages and sends all other output to stderr, so that no print can break a line."""

    def __init__(self, protocol: WorkerProtocol[Request, Answer]) -> None:
        die_with_parent(True)  # it may be killed, and this process reads no stdin while it loads
        self._protocol = protocol
        self._loading: Loading | None = None  # the last one that was sent
        self._lock = threading.Lock()
        sys.stdout.flush()
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def send(self, answer: Answer | Loading | WorkerError) -> None:
        """Can be called from several threads. Raises BrokenPipeError if the app has closed its end."""
        line = encode(answer)
        if isinstance(answer, Loading):
            self._loading = answer
        with self._lock:
            self._out.write(line)

    def send_error(self, error: BaseException, request: int | None = None) -> None:
        """Sends a failure: of the request with the id `request`, or of the whole worker."""
        print(redact_secrets("".join(traceback.format_exception(error))), file=sys.stderr)  # noqa: T201
        failure = failures.classify(error)
        self.send(WorkerError(id=request, kind=failure.kind, message=failure.message, hint=failure.hint))

    @contextmanager
    def repeat_loading(self) -> Iterator[None]:
        """Sends the last Loading again every few seconds while the block works. A process that hangs uses no CPU time
        and sends nothing."""
        ended = threading.Event()
        repeating = threading.Thread(target=self._repeat_loading, args=(ended,), daemon=True)
        repeating.start()
        try:
            yield
        finally:
            ended.set()
            repeating.join()

    def _repeat_loading(self, ended: threading.Event) -> None:
        used = time.process_time()
        while not ended.wait(REPEAT_SECONDS):
            before, used = used, time.process_time()
            if self._loading and used - before >= MIN_CPU_SECONDS:
                try:
                    self.send(self._loading)
                except BrokenPipeError:
                    os._exit(0)  # the app has ended

    def requests(self) -> Iterator[Request]:
        """The requests until the app closes its end. A line that is no request is answered with an error."""
        for line in sys.stdin.buffer:
            try:
                request = self._protocol.read_request(line)
            except NotUnderstood as error:
                self.send_error(failures.TrainingFailure("unknown", f"Not a message: {error}."))
            else:
                yield request

    def answer_requests(self, answer: Callable[[Request], None]) -> int:
        """Call `answer` with each request until the app closes its end, or until one fails, which is sent. Returns the
        exit code of the process."""
        for request in self.requests():
            try:
                with self.repeat_loading():
                    answer(request)
            except BrokenPipeError:
                os._exit(0)  # the app has ended
            except Exception as error:  # noqa: BLE001  the app shows any error
                self.send_error(error)
                return 1
        return 0
