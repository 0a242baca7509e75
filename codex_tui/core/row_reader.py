"""The rows of a run's dataset as the model sees them, one at a time, from the inspect worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from codex_tui.core.errors import CodexError
from training.contract.run_directory import RunDirectory

Status = Literal["off", "loading", "ready", "failed"]
KEPT = 64  # rows that are at hand without asking again


class RowReader:
    """Browses by index. Calls `on_change` whenever something is new to show."""

    def __init__(self, run: RunDirectory, on_change: Callable[[], None]) -> None:
        self.status: Status = "off"
        self.error: tuple[str, str] | None = None
        self.rows = 0
        self.index = 0
        self.phase = ""
        self._run = run
        self._on_change = on_change
        self._known: dict[int, dict[str, Any]] = {}
        self._worker: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()  # a pane may be left while its worker starts

    @property
    def row(self) -> dict[str, Any] | None:
        """The message of type "row" at `index`, None until it is here. Its texts are as they came."""
        return self._known.get(self.index)

    async def start(self) -> None:
        """Starts the worker, unless it runs."""
        from codex_tui.core.workers import Worker, interpreter_of

        async with self._starting:
            if self._worker is not None:
                return
            self.status, self.error = "loading", None
            self._on_change()
            try:
                python = await asyncio.to_thread(interpreter_of, self._run)
                self._worker = await Worker.start(python, ["inspect", str(self._run.path)])
            except CodexError as error:
                self._fail(error.message, error.hint)
                return
            self._reading = asyncio.create_task(self._read(self._worker))

    async def go(self, index: int) -> None:
        """Stands on row `index`, or the nearest there is."""
        self.index = max(0, min(index, self.rows - 1))
        if self.status == "ready":
            self.error = None  # of the row that was left
            if self.rows and self.row is None:
                try:
                    await self._worker.send({"type": "row", "index": self.index})
                except CodexError as error:
                    self._fail(error.message, error.hint)
        self._on_change()

    async def close(self) -> None:
        """Ends the worker; its memory is free when this returns."""
        async with self._starting:
            if self._reading is not None:
                self._reading.cancel()
                self._reading = None
            worker, self._worker = self._worker, None
            if worker is not None:
                await worker.close()
            self.status = "off"

    async def _read(self, worker: Any) -> None:
        async for message in worker:
            kind = message.get("type")
            if kind == "ready":
                self.status, self.rows = "ready", int(message.get("rows") or 0)
                await self.go(self.index)
            elif kind == "row":
                if len(self._known) >= KEPT:
                    self._known.pop(next(iter(self._known)))
                self._known[int(message.get("index") or 0)] = message
            elif kind == "phase":
                self.phase = str(message.get("detail") or "")
            elif kind == "error" and message.get("id") in (None, self.index):
                fatal = message.get("id") is None
                self._fail(
                    str(message.get("message") or "The worker failed."), str(message.get("hint") or ""), fatal=fatal
                )
            self._on_change()
        if self.status != "failed":
            self.status = "off"
        self._worker = None

    def _fail(self, message: str, hint: str, *, fatal: bool = True) -> None:
        """A `fatal` error ends the worker, others concern the row alone."""
        self.status, self.error = "failed" if fatal else "ready", (message, hint)
        self._on_change()
