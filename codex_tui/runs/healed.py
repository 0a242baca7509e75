"""Describes what the keeper changed after a failure, and after a hang, as the run's events tell it. The texts are raw:
clean them before they are shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codex_tui.base.text import pluralize
from training.contract import events as ev

_WORDS = {"hang": "hang", "driver": "lost driver"}


def describe_heal(event: ev.Healed) -> str:
    """Describe a heal in sentences: what happened, from where the run continues, and what changed."""
    place = f"from step {event.step:,}" if event.step else "from the start"
    changes = f" with {_format_changes(event.changes)}" if event.changes else ""
    frees = f", which frees {event.frees_mib:,.0f} MiB" if event.frees_mib else ""
    return f"{event.reason} The run continues {place}{changes}{frees}."


def describe_briefly(event: ev.Healed) -> str:
    """Describe a heal in a few words: "offload_layers 0 → 6", "hang" or "lost driver"."""
    changes = {field.rpartition(".")[2]: change for field, change in event.changes.items()}
    return _format_changes(changes) or _WORDS.get(event.kind, event.kind)


def describe_all_briefly(events: Sequence[ev.Healed]) -> str:
    """Describe all heals of a run in a few words: "offload_layers 0 → 9, 1 hang"."""
    return _join(events, lambda field: field.rpartition(".")[2])


def summarise_heals(events: Sequence[ev.Healed]) -> str:
    """Summarise all heals of a run in a sentence: "Healed 2 times: training.loss_tile_mib 256 → 64, …". "" for none."""
    return f"Healed {pluralize(len(events), 'time')}: {_join(events, str)}." if events else ""


def _join(events: Sequence[ev.Healed], name: Callable[[str], str]) -> str:
    values: dict[str, tuple[Any, Any]] = {}
    for event in events:
        for field, (before, after) in event.changes.items():
            values[name(field)] = (values.get(name(field), (before,))[0], after)  # of a field that changed twice
    counts = Counter(_WORDS[event.kind] for event in events if event.kind in _WORDS)
    return ", ".join(
        filter(None, (_format_changes(values), *(pluralize(count, word) for word, count in counts.items())))
    )


def make_json(event: ev.Healed) -> dict[str, Any]:
    """Return what scripts get of a heal."""
    names = ("kind", "step", "failed_step", "reason", "frees_mib", "file", "line", "tokens")
    changes = {field: list(change) for field, change in event.changes.items()}
    return {**{name: getattr(event, name) for name in names}, "changes": changes}


def _format_changes(changes: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name} {json.dumps(before)} → {json.dumps(after)}" for name, (before, after) in changes.items())
