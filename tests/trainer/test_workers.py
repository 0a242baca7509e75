"""The chat worker, spoken to through its pipes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from support.config_file import read_config, write_config
from support.training_runs import Talk, Trainer, demo_profile, events

from training.contract.run_directory import RunDirectory


def test_chat_answers_as_the_run_did_and_as_the_base_does(demo: RunDirectory, talk: Callable[..., Talk]) -> None:
    before, *_, sample = events(demo, "sample")
    worker = talk("chat", str(demo.path))
    greeting = worker.until("ready", "error")
    assert [message["type"] for message in greeting[:-1]] == ["phase"] * (len(greeting) - 1)
    form = {"max_tokens": 68}  # the longest row of the demo
    ready = {"type": "ready", "device": "cpu", "has_adapter": True, "step": None, "form": form, "context": 2048}
    assert greeting[-1] == ready

    tuned = worker.answer(sample["prompt"])
    untuned = worker.answer(sample["prompt"], adapter=False)
    assert tuned == sample["text"] == sample["reference"]
    assert untuned.startswith(before["text"])  # the sample at step 0 is the base model's answer
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
    assert worker.process.wait(300) == 0


def test_a_run_whose_home_has_moved_uses_the_cache_of_today(
    demo: RunDirectory, trainer: Trainer, talk: Callable[..., Talk]
) -> None:
    run = RunDirectory(trainer.folder / "chat-moved")
    shutil.copytree(demo.path, run.path)
    write_config(run, read_config(run) | {"cache": "/proc/old/home/cache"})  # nothing can be written there
    worker = talk("chat", str(run.path))
    assert worker.until("ready", "error")[-1]["type"] == "ready"
    assert worker.answer("Who?", max_new_tokens=4)


def test_chat_says_what_is_wrong_with_a_run(trainer: Trainer, talk: Callable[..., Talk]) -> None:
    run = trainer.run("chat-no-model", demo_profile(model={"name": "/nowhere/a-model"}))
    worker = talk("chat", str(run.path))
    error = worker.until("ready", "error")[-1]
    assert (error["type"], error["kind"]) == ("error", "model_not_found")
    assert worker.process.wait(300) == 1


def test_an_adapter_that_is_damaged_is_named(demo: RunDirectory, trainer: Trainer, talk: Callable[..., Talk]) -> None:
    run = RunDirectory(trainer.folder / "chat-damaged")
    shutil.copytree(demo.path, run.path)
    weights = run.adapter / "adapter_model.safetensors"
    os.truncate(weights, weights.stat().st_size - 40)
    error = talk("chat", str(run.path)).until("ready", "error")[-1]
    assert error["message"] == f"{weights} is damaged."
    run.adapter.rename(run.path / "put-aside")  # as the hint says
    assert f"Rename {run.adapter}" in error["hint"]
    assert talk("chat", str(run.path)).until("ready", "error")[-1]["has_adapter"]


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
