"""The rows of a dataset as the model sees them, one at a time, and the lengths of all of them: the inspect worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from codex_tui.base.errors import CodexError
from training.contract.run_directory import RunDirectory

Status = Literal["off", "loading", "ready", "failed"]
KEPT = 64  # rows that are at hand without asking again
Asked = tuple[int, int | None, bool]  # which row, cut where, with its ids or not


class RowReader:
    """Browses by index. Calls `on_change` whenever something is new to show, and `on_message` with what the worker
    tells of all rows: its progress, and where it left what it found.

    `target` is a run, or a config.json by itself.
    """

    def __init__(
        self,
        target: RunDirectory | Path,
        on_change: Callable[[], None],
        on_message: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.status: Status = "off"
        self.error: tuple[str, str] | None = None
        self.rows = 0
        self.index = 0
        self.limit: int | None = None  # another max_seq_length than the profile's
        self.ids = False
        self.phase = ""
        self._target = target
        self._on_change, self._on_message = on_change, on_message
        self._known: dict[Asked, dict[str, Any]] = {}
        self._asked: Asked | None = None  # one at a time: of the rows that are passed quickly, only the last matters
        self._worker: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()  # a pane may be left while its worker starts

    @property
    def _wanted(self) -> Asked:
        return self.index, self.limit, self.ids

    @property
    def row(self) -> dict[str, Any] | None:
        """The message of type "row" at `index`, None until it is here. Its texts are as they came."""
        return self._known.get(self._wanted)

    async def start(self) -> None:
        """Starts the worker, unless it runs."""
        from codex_tui.workers.process import Worker

        async with self._starting:
            if self._worker is not None:
                return
            self.status, self.error = "loading", None
            self._on_change()
            try:
                python = await asyncio.to_thread(_interpreter, self._target)
                place = self._target.path if isinstance(self._target, RunDirectory) else self._target
                self._worker = await Worker.start(python, ["inspect", str(place)])
            except CodexError as error:
                self._fail(error.message, error.hint)
                return
            self._asked = None
            self._reading = asyncio.create_task(self._read(self._worker))

    async def go(self, index: int) -> None:
        """Stands on row `index`, or the nearest there is."""
        self.index = max(0, min(index, self.rows - 1) if self.status == "ready" else index)
        if self.status == "ready":
            self.error = None  # of the row that was left
            await self._ask()
        self._on_change()

    async def _ask(self) -> None:
        if self.rows and self.row is None and self._asked is None:
            self._asked = self._wanted
            index, limit, ids = self._asked
            await self.send({"type": "row", "index": index, "ids": ids,
                             **({} if limit is None else {"max_seq_length": limit})})  # fmt: skip

    async def send(self, message: dict[str, Any]) -> None:
        """Asks the worker for something else, once it is ready."""
        if self._worker is not None and self.status == "ready":
            try:
                await self._worker.send(message)
            except CodexError as error:
                self._fail(error.message, error.hint)

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
                await self._take(message)
            elif kind == "phase":
                self.phase = str(message.get("detail") or "")
            elif kind == "error":
                await self._refused(message)
            if self._on_message and kind in ("ready", "progress", "digest", "cancelled"):
                self._on_message(message)
            self._on_change()
        if self.status != "failed":
            self._fail("The worker has ended.", worker.complaints())
        self._worker = None

    async def _take(self, message: dict[str, Any]) -> None:
        index = int(message.get("index") or 0)
        asked, self._asked = self._asked, None
        if asked is not None and asked[0] == index:
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[asked] = message
        await self._ask()

    async def _refused(self, message: dict[str, Any]) -> None:
        fatal = message.get("id") is None
        if fatal or message.get("id") == self.index:
            said, hint = str(message.get("message") or "The worker failed."), str(message.get("hint") or "")
            self._fail(said, hint, fatal=fatal)
        asked, self._asked = self._asked, None
        if not fatal and asked != self._wanted:
            await self._ask()

    def _fail(self, message: str, hint: str, *, fatal: bool = True) -> None:
        """A `fatal` error ends the worker, others concern the row alone."""
        self.status, self.error = "failed" if fatal else "ready", (message, hint)
        self._on_change()


def _interpreter(target: RunDirectory | Path) -> Path:
    """Raises EnvironmentMissing."""
    from codex_tui.environment.build import find_python
    from codex_tui.workers.process import interpreter_of

    return interpreter_of(target) if isinstance(target, RunDirectory) else find_python()
