"""What the key L is said to do, in the cockpit and in the list of runs."""

from __future__ import annotations

import pytest

from codex_tui.runs.summary import RunSummary
from codex_tui.ui.cockpit import hints as cockpit
from codex_tui.ui.runs import hints as runs
from training.contract.run_directory import StopLevel


@pytest.mark.parametrize(
    ("status", "request_", "does"),
    [
        ("training", None, "lend the card"), ("training", "park", "keep training"), ("training", "save", None),
        ("stopping", "terminate", None), ("parked", None, "bring it back"), ("queued", None, "start now"),
        ("healing", None, None), ("done", None, None),
    ],
)  # fmt: skip
def test_the_key_l_says_what_it_does(status: str, request_: StopLevel | None, does: str | None) -> None:
    hints = cockpit.choose_hints((), "chart", status, "", typing=False, zoomed=False, request=request_)
    assert dict(hints).get("L") == does
    run = RunSummary(name="a", directory="/a", created=0.0, status=status, position=1 if status == "queued" else None)  # type: ignore[arg-type]
    assert dict(runs.choose_hints(run, 0, request_)).get("L") == does
