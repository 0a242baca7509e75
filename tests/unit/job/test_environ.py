"""What the trainer sets around itself before a library is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.contract.profile import Profile
from training.job import environ

PROFILE = Profile.model_validate({"model": {"name": "demo:llama"}})
ALLOCATOR = "PYTORCH_ALLOC_CONF"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})


@pytest.mark.parametrize(("kind", "expected"), [(2, environ.FIXED_SEGMENTS), (0, None)])
def test_under_wsl2_the_allocator_does_not_split_the_block_that_the_model_is_loaded_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: int, expected: str | None
) -> None:
    monkeypatch.setattr(environ, "wsl", lambda: kind)
    environ.prepare(PROFILE, tmp_path)
    assert environ.os.environ.get(ALLOCATOR) == expected


def test_what_the_person_set_for_the_allocator_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environ, "wsl", lambda: 2)
    environ.os.environ[ALLOCATOR] = "max_split_size_mb:64"
    environ.prepare(PROFILE, tmp_path)
    assert environ.os.environ[ALLOCATOR] == "max_split_size_mb:64"


@pytest.mark.parametrize(("given", "stays"), [({"CUDA_VISIBLE_DEVICES": "0"}, False), ({}, True)])
def test_a_job_of_slurm_says_nothing_about_cards_of_amd(given: dict[str, str], stays: bool, tmp_path: Path) -> None:
    environ.os.environ.update({"ROCR_VISIBLE_DEVICES": "0"} | given)
    environ.prepare(PROFILE, tmp_path)
    assert ("ROCR_VISIBLE_DEVICES" in environ.os.environ) == stays
