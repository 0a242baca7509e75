"""The keys that the banner of an ended run names."""

from __future__ import annotations

import pytest

from codex_tui.runs.watched import Leftovers, WatchedRun
from codex_tui.ui.cockpit.banner import explain_outcome
from training.contract.run_directory import RunDirectory
from training.history.state import RunState


@pytest.mark.parametrize(
    ("leftovers", "keys"),
    [
        (Leftovers(120, has_adapter=True), "r resume from step 120  c chat  l log  p profiles"),
        (Leftovers(120), "r resume from step 120  l log  p profiles"),
        (Leftovers(None, has_adapter=True, broken="config.json is gone."), "l log  p profiles"),
    ],
)
def test_a_stopped_run_with_an_adapter_can_be_asked(leftovers: Leftovers, keys: str) -> None:
    watched = WatchedRun(RunState(status="stopped", step=120), "ended", leftovers=leftovers)
    assert explain_outcome(RunDirectory("/runs/a"), watched)[-1].plain == keys
