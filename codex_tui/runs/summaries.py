"""Lists the summaries of runs. The summary of an ended run that has not changed comes from a cache."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.runs.summary import RunSummary, summarise
from codex_tui.runs.summary_cache import SummaryCache
from training.contract.run_directory import RunDirectory


def summarise_runs(names: list[str]) -> Iterator[RunSummary]:
    """Yield the summary of each run in `names`, which are all runs. An ended run that has not changed is not read."""
    home = locations.runs_home()
    cache = SummaryCache(home)
    positions: dict[str, int | None] | None = None
    try:
        for name in names:
            if (summary := cache.find(name)) is None:
                run, began = RunDirectory(home / name), time.time()
                summary = summarise(run)
                cache.add(run, summary, began)
            if summary.status == "queued":
                positions = _find_positions() if positions is None else positions
                summary = msgspec.structs.replace(summary, position=positions.get(name))
            yield summary
    finally:
        cache.save(names)


def _find_positions() -> dict[str, int | None]:
    from codex_tui.runs.queue import list_places

    try:  # of a run on several cards, the last of its places
        return {place.ticket.run: place.position for place in sorted(list_places(), key=lambda one: one.position or 0)}
    except CodexError:  # the list shows the runs without their order
        return {}


def take_batch(summaries: Iterator[RunSummary], seconds: float) -> list[RunSummary]:
    """Take the next summaries, as many as come in `seconds`, but at least one; none at the end."""
    deadline = time.monotonic() + seconds
    batch = []
    for summary in summaries:
        batch.append(summary)
        if time.monotonic() >= deadline:
            break
    return batch
