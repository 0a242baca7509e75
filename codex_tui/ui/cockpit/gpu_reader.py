"""Reads the GPU and the machine in a thread, because a driver can be slow or hang."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it loads psutil and NVML, which the first paint does not need
    from codex_tui.machine.gpu import Reading, Sampler

DRIVER_TIMEOUT = 5.0  # seconds after which a reading says that the driver does not answer
NO_ANSWER = "the NVIDIA driver does not answer"


class GpuReader:
    """Reads the card number `device` of this machine."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._sampler: Sampler | None = None
        self._pending: asyncio.Future[Reading] | None = None  # a reading that the driver has not returned yet
        self._waiting = False

    async def read(self) -> Reading | None:
        """Return a reading, or None while an earlier call still waits for one.

        If the driver has not answered after DRIVER_TIMEOUT, the reading says so, and the next call waits for it again.
        """
        if self._waiting:
            return None
        self._waiting = True
        try:
            if self._pending is None:
                loop = asyncio.get_running_loop()
                self._pending = loop.create_future()
                threading.Thread(target=self._read, args=(self._pending, loop), daemon=True).start()
            if not (await asyncio.wait([self._pending], timeout=DRIVER_TIMEOUT))[0]:
                from codex_tui.machine.gpu import without_gpu

                return without_gpu(NO_ANSWER)
            reading, self._pending = self._pending.result(), None
            return reading
        finally:
            self._waiting = False

    def _read(self, answer: asyncio.Future[Reading], loop: asyncio.AbstractEventLoop) -> None:
        if self._sampler is None:
            self._sampler = make_sampler(self._device)
        reading = self._sampler.read()
        with suppress(RuntimeError):  # the app has ended
            loop.call_soon_threadsafe(answer.set_result, reading)


def make_sampler(device: int) -> Sampler:
    from codex_tui.machine.gpu import Sampler

    return Sampler(device)
