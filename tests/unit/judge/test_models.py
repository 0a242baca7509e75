"""The adapter that a judgement and an export read: what is said if there is none."""

from __future__ import annotations

import shutil

import pytest
from support.fake_runs import make_run

from training.contract.failures import TrainingFailure
from training.judge.models import find_adapter

pytestmark = pytest.mark.usefixtures("empty_home")


def test_a_run_that_was_renamed_or_deleted_meanwhile_is_not_said_to_lack_an_adapter() -> None:
    run = make_run("a")
    with pytest.raises(TrainingFailure, match="a has no adapter"):
        find_adapter(run)
    shutil.rmtree(run.path)
    with pytest.raises(TrainingFailure, match=f"{run.path} is gone") as raised:
        find_adapter(run)
    assert raised.value.hint == "List the runs: codex-tui runs"
