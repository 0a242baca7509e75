"""Tests of the cockpit's header: it says that rows are cut, and at how many tokens."""

from __future__ import annotations

import pytest

from codex_tui.runs.facts import RunFacts
from codex_tui.runs.state import RunState
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.header import RunHeader
from training.contract import events as ev


def title(width: int, cut: int, limit: int | None = 128) -> str:
    resolved = ev.Resolved(total_steps=10, steps_per_epoch=10, train_rows=285, eval_rows=15, truncated_rows=cut)
    facts = RunFacts("zombies-1", profile_name="mine", model="me/tiny", max_seq_length=limit)
    return RunHeader(facts, WatchedRun(RunState(resolved=resolved)))._format_title(width).plain


@pytest.mark.parametrize(
    ("cut", "limit", "says"),
    [(148, 128, "148 of 300 rows cut at 128 tokens"), (148, None, "148 of 300 rows cut"), (0, 128, "")],
)
def test_cut_rows_are_told_where_there_is_room(cut: int, limit: int | None, says: str) -> None:
    wide, narrow = title(120, cut, limit), title(40, cut, limit)
    assert says in wide and ("cut" in wide) == bool(says)
    assert "zombies-1" in narrow and "cut" not in narrow
