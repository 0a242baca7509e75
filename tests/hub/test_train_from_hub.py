"""Tests training on a dataset of the Hub, and from the cache when the Hub is not reachable."""

from __future__ import annotations

import json
from pathlib import Path

from support.hub.person import Person


def test_a_run_reads_its_rows_from_the_hub_and_later_from_the_cache(person: Person, trainer_python: Path) -> None:
    person.says("data", "push", person.file("train.jsonl", 40), "ann/guide")
    revision = person.says("data", "status", person.home / "train.jsonl", "ann/guide")["remote"]["revision"]
    sets = ["--set", "training.max_steps=2", "--set", "dataset.eval_fraction=0"]
    quick = ["train", "demo", "--dataset", "ann/guide", *sets, "--headless", "--python", trainer_python]
    for name, endpoint in (("first", person.hub.url), ("again", "http://127.0.0.1:9")):
        done = person.runs(*quick, "--name", name, HF_ENDPOINT=endpoint, CUDA_VISIBLE_DEVICES="")
        assert done.returncode == 0, done.stdout + done.stderr
        config = json.loads((person.home / "codex" / "data" / "runs" / name / "config.json").read_text())
        assert config["dataset"] == "hf://ann/guide"
        assert config["hub"] == {"repo": "ann/guide", "revision": revision}
        assert config["dataset_fingerprint"]["revision"] == revision
        assert config["dataset_fingerprint"]["train_rows"] == 40


def test_a_dataset_that_is_not_on_the_hub_is_refused_before_anything_is_set_up(person: Person) -> None:
    done = person.runs("train", "demo", "--dataset", "ann/none", "--headless")
    assert done.returncode in (1, 2)
    assert "ann/none" in done.stderr
    assert not (person.home / "codex" / "data").exists()
