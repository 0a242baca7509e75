"""The client of the inspect worker: single rows of a dataset as the model sees them, and work on all of its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from codex_tui.base.errors import CodexError
from codex_tui.workers.client import WorkerClient
from training.contract.inspect_messages import (
    INSPECT,
    Cancel,
    InspectAnswer,
    InspectReady,
    InspectRequest,
    RenderedRow,
    ShowRow,
    Tokenise,
)
from training.contract.messages import WorkerError
from training.contract.run_directory import RunDirectory

MAX_KEPT_ROWS = 64  # rows that can be shown again without a request


class _Key(NamedTuple):
    """What one request for a row asks for."""

    row: int
    limit: int | None
    ids: bool


class RowReader(WorkerClient[InspectRequest, InspectAnswer]):
    """Shows the row at `index`. Calls `on_stats` with each answer that concerns all rows, and with InspectReady."""

    def __init__(
        self,
        target: RunDirectory | Path,
        on_change: Callable[[], None],
        on_stats: Callable[[InspectAnswer], None] | None = None,
    ) -> None:
        super().__init__(INSPECT, target, on_change)
        self.rows = 0
        self.index = 0
        self.limit: int | None = None  # a max_seq_length in place of the profile's
        self.ids = False  # whether to ask for the id of each token
        self._on_stats = on_stats
        self._known: dict[_Key, RenderedRow] = {}
        self._requested: _Key | None = None  # one at a time: of rows that are passed quickly, only the last one matters

    @property
    def _wanted(self) -> _Key:
        return _Key(self.index, self.limit, self.ids)

    @property
    def row(self) -> RenderedRow | None:
        """The row at `index`, None until it has come. Its texts are not yet cleaned for the terminal."""
        return self._known.get(self._wanted)

    async def go(self, index: int) -> None:
        """Shows row `index`, or the nearest row that exists."""
        self.index = max(0, min(index, self.rows - 1) if self.status == "ready" else index)
        if self.status == "ready":
            self.error = None  # it concerned the row before
            await self._request()
        self._on_change()

    async def tokenise(self) -> None:
        """Asks for the tokens of all rows to be counted. Does nothing before the worker is ready."""
        if self.status == "ready":
            await self._send(Tokenise())

    async def cancel(self) -> None:
        """Cancels the work on all rows."""
        if self.status == "ready":
            await self._send(Cancel())

    async def _request(self) -> None:
        if self.rows and self.row is None and self._requested is None and self.status == "ready":
            self._requested = self._wanted
            await self._send(ShowRow(index=self.index, ids=self.ids, max_seq_length=self.limit))

    def _prepare(self) -> None:
        self._requested = None

    async def _receive(self, answer: InspectAnswer) -> None:
        match answer:
            case InspectReady():
                self.status, self.rows = "ready", answer.rows
                await self.go(self.index)
            case RenderedRow():
                requested, self._requested = self._requested, None
                if requested is not None and requested.row == answer.index:
                    self._keep(requested, answer)
                await self._request()
            case WorkerError():
                await self._refuse(answer)
        if self._on_stats and not isinstance(answer, RenderedRow | WorkerError):
            self._on_stats(answer)

    def _keep(self, key: _Key, row: RenderedRow) -> None:
        if len(self._known) >= MAX_KEPT_ROWS:
            self._known.pop(next(iter(self._known)))
        self._known[key] = row

    async def _refuse(self, error: WorkerError) -> None:
        if error.id == self.index:
            self._fail(CodexError(error.message, error.hint), fatal=False)
        requested, self._requested = self._requested, None
        if requested != self._wanted:
            await self._request()

    def _on_end(self, last_lines: str) -> None:
        self._fail(CodexError("The worker has ended.", last_lines))
