"""Tests training on a dataset of the Hub, and from the cache when the Hub is not reachable."""

from __future__ import annotations

import json
from pathlib import Path

from support.hub.user import HubUser


def test_a_run_reads_its_rows_from_the_hub_and_later_from_the_cache(user: HubUser, trainer_python: Path) -> None:
    user.run_json("data", "push", user.write_rows("train.jsonl", 40), "ann/guide")
    revision = user.run_json("data", "status", user.home / "train.jsonl", "ann/guide")["remote"]["revision"]
    sets = ["--set", "training.max_steps=2", "--set", "dataset.eval_fraction=0"]
    quick = ["train", "demo", "--dataset", "ann/guide", *sets, "--headless", "--python", trainer_python]
    for name, endpoint in (("first", user.hub.url), ("again", "http://127.0.0.1:9")):
        done = user.run_command(*quick, "--name", name, HF_ENDPOINT=endpoint, CUDA_VISIBLE_DEVICES="")
        assert done.returncode == 0, done.stdout + done.stderr
        config = json.loads((user.home / "codex" / "data" / "runs" / name / "config.json").read_text())
        assert config["dataset"] == "hf://ann/guide"
        assert config["hub"] == {"repo": "ann/guide", "revision": revision}
        assert config["dataset_fingerprint"]["revision"] == revision
        assert config["dataset_fingerprint"]["train_rows"] == 40


def test_a_dataset_that_is_not_on_the_hub_is_refused_before_anything_is_set_up(user: HubUser) -> None:
    done = user.run_command("train", "demo", "--dataset", "ann/none", "--headless")
    assert done.returncode in (1, 2)
    assert "ann/none" in done.stderr
    assert not (user.home / "codex" / "data").exists()
