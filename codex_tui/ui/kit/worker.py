"""Starts the work that a screen or a widget does beside its messages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from textual.dom import DOMNode
from textual.worker import Worker

T = TypeVar("T")


def start_worker(
    node: DOMNode, work: Callable[[], Coroutine[Any, Any, T]], *, group: str = "default", exclusive: bool = False
) -> Worker[T]:
    """Run `work` in a worker of `node`, whose errors do not end the app. An exclusive one cancels the others of its
    `group`.

    `work` is a function, because a worker may be cancelled before its first step, by the next one of its group or by
    the end of its screen: a coroutine would be left behind that nobody awaits.
    """

    async def do_work() -> T:
        return await work()

    return node.run_worker(do_work, group=group, exclusive=exclusive, exit_on_error=False)
