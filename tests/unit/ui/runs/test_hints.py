"""What the key L is said to do, in the cockpit and in the list of runs."""

from __future__ import annotations

from typing import Any

import pytest

from codex_tui.runs.summary import RunSummary
from codex_tui.runs.watched import HELD, WatchedRun
from codex_tui.ui.cockpit import hints as cockpit
from codex_tui.ui.runs import hints as runs
from training.contract import events as ev
from training.contract.control import StopLevel
from training.history.state import RunState


@pytest.mark.parametrize(
    ("status", "request_", "is_held", "does"),
    [
        ("training", None, False, "lend the card"), ("training", "park", False, "keep training"),
        ("training", "save", False, None), ("stopping", "terminate", False, None),
        ("parked", None, True, "bring it back"), ("queued", None, True, "start now"), ("healing", None, True, None),
        ("done", None, False, None), ("waiting", None, True, "go on now"), ("waiting", None, False, None),
        ("unreachable", None, False, None),
    ],
)  # fmt: skip
def test_the_key_l_says_what_it_does(status: str, request_: StopLevel | None, is_held: bool, does: str | None) -> None:
    held = ev.Held(state="parked", reason="You lent the card.") if status in HELD and is_held else None
    liveness: Any = {"unreachable": "unreachable", "done": "ended", "waiting": "held" if held else "waiting"}.get(
        status
    )
    state = RunState(status=status, held=held)  # type: ignore[arg-type]
    watched = WatchedRun(state, liveness or ("held" if held else "alive"))
    hints = cockpit.choose_hints((), "chart", watched, typing=False, zoomed=False, request=request_)
    assert dict(hints).get("L") == does
    position = 1 if status == "queued" else None
    run = RunSummary(name="a", directory="/a", created=0.0, status=watched.status, position=position, held=watched.held)
    assert dict(runs.choose_hints(run, 0, request_)).get("L") == does


def test_an_empty_list_of_runs_names_no_key_that_needs_a_run() -> None:
    assert [key for key, _ in runs.choose_hints(None, 0)] == ["/", "Esc", "p", "ctrl+r"]


def test_beside_the_chart_the_keys_of_a_run_that_trains_come_first() -> None:
    watched, chart = WatchedRun(RunState(status="training")), (("g", "log scale"), ("x", "over time"))
    keys = [key for key, _ in cockpit.choose_hints(chart, "chart", watched, typing=False, zoomed=False)]
    assert keys[:4] == ["s", "L", "g", "x"]
    keys = [key for key, _ in cockpit.choose_hints(chart, "samples", watched, typing=False, zoomed=False)]
    assert keys[:4] == ["g", "x", "s", "L"]
