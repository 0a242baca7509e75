"""What a profile asks of Slurm."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from support.training_runs import demo_profile

from training.contract.slurm import parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("90:30", 5430),
        ("04:00:00", 14400),
        ("1-0", 86400),
        ("1-12", 129_600),
        ("1-12:30", 131_400),
        ("2-00:00:01", 172_801),
    ],
)
def test_a_time_is_read_as_slurm_reads_it(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds


def test_a_job_that_would_save_before_its_first_step_is_refused() -> None:
    launch: dict[str, Any] = {"engine": "slurm", "slurm": {"time": "00:07:00", "signal_seconds": 300}}
    demo_profile(launch=launch)
    launch["slurm"] = {"time": "00:06:00", "signal_seconds": 300}
    with pytest.raises(ValidationError, match=r"so before its first step; use less, or a longer launch\.slurm\.time"):
        demo_profile(launch=launch)
    demo_profile(launch=launch | {"engine": "local"})
