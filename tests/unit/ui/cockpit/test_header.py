"""Tests of the cockpit's header: it says that rows are cut, and at which length none is."""

from __future__ import annotations

import time

import pytest

from codex_tui.runs.facts import RunFacts
from codex_tui.runs.loading_time import StartTimes
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.header import RunHeader
from training.contract import events as ev
from training.history.reduce import reduce_all
from training.history.state import RunState


def title(width: int, cut: int, limit: int | None = 128, longest: int = 182) -> str:
    resolved = ev.Resolved(
        total_steps=10, steps_per_epoch=10, train_rows=285, eval_rows=15, truncated_rows=cut, longest_row=longest
    )
    facts = RunFacts("zombies-20261128-112810", profile_name="mine", model="me/tiny", max_seq_length=limit)
    return RunHeader(facts, WatchedRun(RunState(resolved=resolved)))._format_title(width).plain


@pytest.mark.parametrize(
    ("cut", "limit", "longest", "says"),
    [
        (148, 128, 182, "148 of 300 rows are cut at 128 tokens; 192 cuts none"),
        (1, 128, 2049, "1 of 300 rows is cut at 128 tokens; 2,112 cuts none"),
        (148, 128, 0, "148 of 300 rows are cut at 128 tokens "),  # an earlier trainer did not count the longest row
        (148, None, 182, "148 of 300 rows are cut; 192 cuts none"),
        (0, 128, 120, ""),
    ],
)
def test_the_header_says_which_length_cuts_no_row(cut: int, limit: int | None, longest: int, says: str) -> None:
    wide = title(140, cut, limit, longest)
    assert says in wide and ("cut" in wide) == bool(says)
    assert "profile mine" in wide and "model tiny" in wide


def test_a_narrow_header_is_shorter_and_keeps_the_remedy() -> None:
    at_80 = title(78, 148)
    assert at_80.startswith("zombies-20261128-112810   148 of 300 rows cut; 192 cuts none")
    narrow = title(40, 148)
    assert "zombies-20261128-112810" in narrow and "cut" not in narrow


def test_a_fitted_run_shows_its_steps_its_epochs_and_until_when() -> None:
    resolved = ev.Resolved(total_steps=4_000, steps_per_epoch=1_000, train_rows=8_000, eval_rows=0)
    fitted = ev.Fitted(total_steps=2_900, planned_steps=4_000, deadline=time.mktime((2026, 11, 29, 7, 0, 0, 0, 0, -1)))
    metrics = [ev.Metrics(step=step, epoch=step / 1_000, loss=1.0) for step in range(1, 30)]
    state = reduce_all(RunState(), [ev.Started(attempt=1, pid=1), resolved, fitted, *metrics])
    assert fitted.deadline
    state.last_event_at = fitted.deadline - 3_600
    watched = WatchedRun(state)
    header = RunHeader(RunFacts("night", epochs=4.0), watched)
    assert "step 29 / 2,900" in header._format_progress(80, watched).plain
    numbers = header._format_numbers(100, watched).plain
    assert "until 07:00" in numbers
    held = WatchedRun(reduce_all(state, [ev.Held(state="parked", reason="", time=state.last_event_at)]), "held")
    numbers = header._format_numbers(120, held).plain
    assert "deadline 07:00" in numbers and "until" not in numbers  # the last event is old, and it may be noon
    assert "epoch 0.03 / 2.90" in numbers


@pytest.mark.parametrize(
    ("width", "shown"),
    [(90, "loading: me/a-model-with-a-long-name 1 / 3 parts  about 0:24 left"), (70, "name  about 0:24 left")],
)
def test_the_time_that_a_model_still_loads_is_shown_in_a_narrow_header_too(width: int, shown: str) -> None:
    events = [
        ev.Started(attempt=1, pid=1, time=100.0),
        ev.Phase(name="loading", detail="me/a-model-with-a-long-name", done=1, total=3, unit="parts", time=116.0),
    ]
    watched = WatchedRun(reduce_all(RunState(), events))
    header = RunHeader(RunFacts("a"), watched)
    assert header._format_progress(width, watched).plain.endswith("name 1 / 3 parts   33 %")
    header._last_start = StartTimes(40.0, 50.0)
    assert header._format_progress(width, watched).plain.endswith(shown)
