"""Who can answer in a chat: the adapter of a run or of a checkpoint, and an exported file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from codex_tui.workers.client import AnyWorker
from training.contract import checkpoints
from training.contract.chat_messages import ChatAnswer, ChatRequest
from training.contract.run_directory import RunDirectory


class Adapter(NamedTuple):
    """The adapter that answers: the run's own, or the one of the checkpoint at `step`."""

    step: int | None = None

    @property
    def name(self) -> str:
        return "adapter" if self.step is None else f"checkpoint {self.step:,}"


def adapter_of(run: RunDirectory, *, thorough: bool) -> Adapter | None:
    """The adapter that the chat worker loads, or None if the base model answers. `thorough`: see `is_whole`."""
    folder = checkpoints.find_chat_adapter(run, thorough=thorough)
    if folder is None:
        return None
    return Adapter() if folder == run.adapter else Adapter(checkpoints.parse_step(folder))


class FastModel(NamedTuple):
    """The run's merged model in an exported file, and how to start a server with it that takes the place of the worker.
    `is_older`: the run has saved its adapter since the export."""

    name: str
    start: Callable[[], Awaitable[AnyWorker[ChatRequest, ChatAnswer]]]
    is_older: bool = False
