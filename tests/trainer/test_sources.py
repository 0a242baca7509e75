"""Runs over every kind of file and every shape of row, to the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.config_file import read_config
from support.training_runs import Trainer, demo_profile, events

from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

SHAREGPT = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Rook."}]


def quick(**dataset: Any) -> Profile:
    return demo_profile(training={"max_steps": 2}, evaluation={"eval_steps": 2, "sample_prompt": None}, dataset=dataset)


def trained(trainer: Trainer, name: str, profile: Profile, dataset: str) -> RunDirectory:
    run = trainer.run(name, profile, dataset)
    assert trainer.train(run) == 0, run.log.read_text()
    return run


def test_a_folder_of_all_kinds_of_files_is_one_dataset(trainer: Trainer, tmp_path: Path) -> None:
    folder = tmp_path / "guide"
    folder.mkdir()
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Rook."}]
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"messages": turns, "score": float("nan")}] * 3))
    trainer.run_program("files", "write_parquet", str(rows), str(folder / "a.parquet"))
    (folder / "b.csv").write_text("prompt,completion\r\nWho?,Rook.\r\nWhat?,\r\n")
    (folder / "c.json").write_text(
        json.dumps([{"conversations": SHAREGPT}, {"instruction": "Who?", "output": "Rook."}])
    )
    (folder / "d.jsonl").write_text(json.dumps({"question": "Who?", "answer": "Rook."}) + "\n{\n")
    run = trained(trainer, "folder", quick(on_bad_rows="skip"), str(folder))
    [resolved] = events(run, "resolved")
    assert resolved["train_rows"] + resolved["eval_rows"] == 7
    assert resolved["dropped_rows"] == 2
    fingerprint = read_config(run)["dataset_fingerprint"]
    assert fingerprint["rows"] == 9
    assert [skipped.partition(": ")[0] for skipped in fingerprint["skipped"]] == ["b.csv, line 3", "d.jsonl, line 2"]


def test_plain_text_is_learned_whole_and_gone_on_with(trainer: Trainer, tmp_path: Path) -> None:
    rows = tmp_path / "book.jsonl"
    rows.write_text("".join(json.dumps({"story": f"Rook fights wave {n} with an axe."}) + "\n" for n in range(12)))
    run = trained(trainer, "text", quick(text_column="story"), str(rows))
    before, sample = events(run, "sample")
    assert (before["step"], before["prompt"]) == (0, sample["prompt"])
    assert sample["prompt"].startswith("Rook fights")
    assert sample["reference"].endswith("an axe.")


def test_a_validation_split_is_only_evaluated(trainer: Trainer, tmp_path: Path) -> None:
    folder = tmp_path / "guide"
    for name, rows in (("train", 9), ("validation", 6), ("test", 4)):
        (folder / name).mkdir(parents=True)
        lines = (json.dumps({"instruction": f"Which {name} {n}?", "response": f"The {name} {n}."}) for n in range(rows))
        (folder / name / "rows.jsonl").write_text("\n".join(lines))
    run = trained(trainer, "splits", quick(max_eval_rows=4), str(folder))
    [resolved] = events(run, "resolved")
    assert (resolved["train_rows"], resolved["eval_rows"]) == (9, 4)
    assert events(run, "sample")[0]["prompt"].startswith("Which validation")
