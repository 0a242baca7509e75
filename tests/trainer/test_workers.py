"""The chat and inspect workers, spoken to through their pipes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from support.training_runs import Talk, Trainer, demo_profile, events

from training.contract.run_directory import RunDirectory


def test_chat_answers_as_the_run_did_and_as_the_base_does(demo: RunDirectory, talk: Callable[..., Talk]) -> None:
    sample = events(demo, "sample")[-1]
    worker = talk("chat", str(demo.path))
    greeting = worker.until("ready", "error")
    assert [message["type"] for message in greeting[:-1]] == ["phase"] * (len(greeting) - 1)
    assert greeting[-1] == {"type": "ready", "device": "cpu", "has_adapter": True}

    tuned = worker.answer(sample["prompt"])
    untuned = worker.answer(sample["prompt"], adapter=False)
    assert tuned == sample["text"] == sample["reference"]
    assert untuned != tuned
    assert worker.answer(sample["prompt"], temperature=2.0, max_new_tokens=8) is not None
    assert worker.answer(sample["prompt"]) == tuned  # switching and sampling leave nothing behind

    question = [{"role": "user", "content": "Tell me everything."}]
    worker.say(type="generate", id=7, messages=question, adapter=False, max_new_tokens=100_000)
    worker.until("token")
    worker.say(type="stop", id=7)
    end = worker.until("end")[-1]
    assert (end["id"], end["reason"]) == (7, "stopped")
    worker.say(type="generate", id=8, messages=question, max_new_tokens=1)
    assert worker.until("end")[-1] | {"seconds": 0} == {
        "type": "end", "id": 8, "reason": "length", "tokens": 1, "seconds": 0
    }  # fmt: skip

    worker.say(type="generate", id=9, messages=[])
    assert worker.until("error")[-1]["id"] == 9
    assert worker.process.stdin is not None
    worker.process.stdin.write("no JSON\n")
    worker.process.stdin.flush()
    assert worker.until("error")[-1]["id"] is None
    worker.process.stdin.close()
    assert worker.process.wait(30) == 0


def test_chat_says_what_is_wrong_with_a_run(trainer: Trainer, talk: Callable[..., Talk]) -> None:
    run = trainer.run("chat-no-model", demo_profile(model={"name": "/nowhere/a-model"}))
    worker = talk("chat", str(run.path))
    error = worker.until("ready", "error")[-1]
    assert (error["type"], error["kind"]) == ("error", "model_not_found")
    assert worker.process.wait(30) == 1


def test_weights_that_can_carry_code_are_not_loaded(
    demo: RunDirectory, trainer: Trainer, talk: Callable[..., Talk]
) -> None:
    base = Path(json.loads((demo.adapter / "adapter_config.json").read_text())["base_model_name_or_path"])
    folder = trainer.folder / "pickled"
    shutil.copytree(base, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    run = trainer.run("chat-pickled", demo_profile(model={"name": str(folder)}))
    error = talk("chat", str(run.path)).until("ready", "error")[-1]
    assert (error["type"], error["kind"]) == ("error", "model_not_found")
    assert "no safetensors weights" in error["message"]


def test_inspect_shows_what_is_learned(trainer: Trainer, talk: Callable[..., Talk], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '\n{"instruction": "Who is Rook?", "response": "A hero."}\nnot a row\n'
        '{"instruction": "Say it all.", "response": "' + "one two three four five " * 30 + '"}\n'
        '{"instruction": "' + "why " * 200 + '", "response": "So."}\n'
    )
    profile = demo_profile(model={"max_seq_length": 64}, dataset={"eval_fraction": 0.0, "system_prompt": "Be brief."})
    run = trainer.run("inspect", profile, str(rows))
    worker = talk("inspect", str(run.config))
    assert worker.until("ready", "error")[-1] == {"type": "ready", "rows": 3, "train_rows": 3, "eval_rows": 0}

    def row(index: int) -> dict:
        worker.say(type="row", index=index)
        return worker.until("row", "error")[-1]

    first = row(0)
    assert first["line"] == 2
    assert first["raw"] == {"instruction": "Who is Rook?", "response": "A hero."}
    assert first["segments"] == [
        {
            "text": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWho is Rook?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "learned": False,
            "cut": False,
        },
        {"text": "A hero.<|eot_id|>", "learned": True, "cut": False},
    ]
    assert (first["truncated"], first["split"], first["max_seq_length"]) == (False, "train", 64)
    assert 0 < first["learned_tokens"] < first["tokens"]

    long = row(1)
    assert [(s["learned"], s["cut"]) for s in long["segments"]] == [(False, False), (True, False), (True, True)]
    assert long["truncated"]
    assert long["segments"][2]["text"].endswith("five<|eot_id|>")
    wholly_cut = row(2)
    assert (wholly_cut["split"], wholly_cut["learned_tokens"]) == ("dropped", 0)
    assert row(3)["type"] == "error"


def test_inspect_says_that_the_dataset_is_gone(trainer: Trainer, talk: Callable[..., Talk]) -> None:
    run = trainer.run("inspect-no-rows", demo_profile(), "/nowhere/rows.jsonl")
    worker = talk("inspect", str(run.path))
    error = worker.until("ready", "error")[-1]
    assert (error["kind"], error["message"]) == (
        "bad_data",
        "The dataset /nowhere/rows.jsonl can't be read: No such file or directory.",
    )
    assert worker.process.wait(30) == 1


def test_inspect_splits_as_the_trainer_did(demo: RunDirectory, talk: Callable[..., Talk]) -> None:
    fingerprint = demo.read_config()["dataset_fingerprint"]
    worker = talk("inspect", str(demo.path))
    ready = worker.until("ready", "error")[-1]
    assert (ready["train_rows"], ready["eval_rows"]) == (fingerprint["train_rows"], fingerprint["eval_rows"])
