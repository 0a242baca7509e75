"""A damaged config.json is a failure with a name, a file and a remedy, whatever the damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.contract.failures import TrainingFailure
from training.job.job import read_job


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ("[" * 100_000, "is damaged"),
        (json.dumps({"profile": 5}), "is damaged (profile: Expected `object`"),
        (
            json.dumps({"profile": {"model": {"name": 3}}, "dataset": "demo:zombie-waves", "cache": "/"}),
            "is damaged (profile.model.name: Input should be",
        ),
        (json.dumps({"profile": {"model": {"name": "demo:llama"}}}), "is damaged (dataset: missing"),
        (
            json.dumps(
                {"profile": {"model": {"name": "demo:llama"}}, "dataset": "a", "cache": "/", "hub": {"repo": 5}}
            ),
            "is damaged (hub.repo: Expected `str`, got `int`",
        ),
        (
            json.dumps({"profile": {"model": {"name": "demo:llama"}}, "dataset": None, "cache": "/"}),
            "is damaged (dataset: Expected `str`, got `null`",
        ),
    ],
)
def test_a_damaged_config_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(TrainingFailure, match=str(tmp_path / "config.json")) as caught:
        read_job(tmp_path)
    assert caught.value.kind == "bad_config"
    assert says in caught.value.message


@pytest.mark.parametrize(
    "actual",
    [[], {"model": 5}, {"model": {"name": 5}}, {"model": {"dtype": "__doc__"}}, {"model": {"load_in_4bit": "x"}}],
)
def test_what_really_ran_is_looked_at_too(tmp_path: Path, actual: object) -> None:
    """The chat loads what it says."""
    config = {"profile": {"model": {"name": "demo:llama"}}, "dataset": "demo:zombie-waves", "cache": "/"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"actual": {"model": {"dtype": "float32"}}}))
    assert read_job(tmp_path).model_name == "demo:llama"
    (tmp_path / "config.json").write_text(json.dumps(config | {"actual": actual}))
    with pytest.raises(TrainingFailure, match=str(tmp_path / "config.json")):
        read_job(tmp_path)
