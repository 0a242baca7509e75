"""A damaged config.json is a failure with a name, a file and a remedy, whatever the damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.contract.failures import TrainingFailure
from training.job.job import read_all_rows, read_job


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


@pytest.mark.parametrize(("fingerprint", "good"), [
    (None, 1),
    ({"sha256": "0", "rows": 4}, 4),  # of a trainer that refused no such rows
    ({"sha256": "0", "rows": 4, "other_kinds_refused": True}, 1),
])  # fmt: skip
def test_a_run_goes_on_with_rows_that_are_refused_today(
    tmp_path: Path, fingerprint: dict[str, Any] | None, good: int
) -> None:
    raws: list[dict[str, Any]] = [
        {"prompt": "Map?", "completion": "The dock.", "label": True},
        {"prompt": "Map?", "completion": "Give up.", "label": False},
        {"prompt": "Map?", "response": "The dock.", "rejected": "Give up."},
        {"instruction": "Map?", "response": "The dock.", "image": "dock.png"},
    ]
    dataset = tmp_path / "rows.jsonl"
    dataset.write_text("".join(json.dumps(raw) + "\n" for raw in raws))
    config = {"version": 1, "profile": {"model": {"name": "demo:llama"}}, "dataset": str(dataset)}
    (tmp_path / "config.json").write_text(
        json.dumps(config | ({"dataset_fingerprint": fingerprint} if fingerprint else {}))
    )
    rows = read_all_rows(read_job(tmp_path))
    assert (len(rows.rows), len(rows.problems)) == (good, 4 - good)
    assert rows.other_kinds_refused is (good == 1)
