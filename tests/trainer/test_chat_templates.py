"""A base model learns conversations with the chat template that the profile chooses, and chats in the same form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.training_runs import Talk, Trainer, demo_profile, events

from codex_tui.cli import main
from training.contract import chat_templates
from training.contract.run_directory import RunDirectory

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"How much is {number} + 1?"},
            {"role": "assistant", "content": f"It is {number + 1}."},
            {"role": "user", "content": "Sure?"},
            {"role": "assistant", "content": "Yes."},
        ]
    }
    for number in range(20)
]
TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
STEPS = 12


@pytest.fixture(scope="module")
def base_model(trainer: Trainer) -> Path:
    folder = trainer.folder / "base-model"
    trainer.run_program("masks", "build_base_model", str(folder))
    return folder


@pytest.fixture(scope="module")
def rows(trainer: Trainer) -> Path:
    file = trainer.folder / "base-rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def make_run(trainer: Trainer, base_model: Path, rows: Path, name: str, choice: str) -> RunDirectory:
    profile = demo_profile(
        model={"name": str(base_model), "chat_template": choice},
        dataset={"path": None, "eval_fraction": 0.1},
        training={"max_steps": STEPS, "warmup_steps": 1},
        evaluation={"eval_steps": STEPS, "sample_prompt": "How much is 3 + 1?", "sample_max_new_tokens": 16},
    )
    return trainer.run(name, profile, str(rows))


def test_the_names_are_those_of_unsloth(trainer: Trainer) -> None:
    assert sorted(chat_templates.NAMES) == trainer.run_program("masks", "list_unsloth_templates")


@pytest.mark.parametrize("choice", ["chatml", "file"])
def test_trainer_data_screen_and_chat_use_the_chosen_template(
    trainer: Trainer, base_model: Path, rows: Path, talk: Callable[..., Talk], choice: str
) -> None:
    file = trainer.folder / "template.jinja"
    file.write_text(TEMPLATE)
    run = make_run(trainer, base_model, rows, f"base-{choice}", str(file) if choice == "file" else choice)
    if choice == "file":  # the run goes on with the template that it began with
        assert trainer.stop_after_a_step(run) == 0, run.log.read_text()
        file.write_text("changed {{ messages[0].content }}")
    assert trainer.train(run) == 0, run.log.read_text()
    file.unlink()
    taught = trainer.run_program("batches", "of_run", str(run.path))
    shown = trainer.run_program("masks", "of_worker", str(run.path))
    assert sorted(shown["train"]) == sorted(taught["train"])
    assert len(taught["train"]) == 18
    template = (run.adapter / "chat_template.jinja").read_text()
    assert template == TEMPLATE if choice == "file" else "<|im_start|>" in template
    assert not [*trainer.folder.glob("_unsloth*")]  # it is the trainer's working directory
    sample = events(run, "sample")[-1]
    worker = talk("chat", str(run.path))
    worker.until("ready", "error")
    assert worker.answer("How much is 3 + 1?", max_new_tokens=16) == sample["text"]


def test_checks_know_a_model_without_a_template_and_the_remedy(
    home: Path, base_model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "p.toml"
    profile.write_text(f'[model]\nname = "{base_model}"\nmax_seq_length = 512\n')
    remedy = 'model.chat_template = "chatml"'
    assert main(["data", "check", str(rows), "--profile", str(profile)]) == 2
    assert remedy in capsys.readouterr().out
    assert main(["data", "lengths", str(rows), "--profile", str(profile)]) == 2
    assert remedy in capsys.readouterr().err
    assert main(["profile", "check", str(profile)]) == 0
    assert remedy in capsys.readouterr().out
    assert main(["profile", "check", str(profile), "--set", "model.chat_template=chatml"]) == 0
    assert remedy not in capsys.readouterr().out
    text = tmp_path / "text.jsonl"
    text.write_text('{"text": "The Rook fires traps."}\n' * 5)
    assert main(["data", "check", str(text), "--profile", str(profile)]) == 0
    capsys.readouterr()
    profile.write_text(profile.read_text() + 'chat_template = "chatml"\n')
    assert main(["data", "check", str(rows), "--profile", str(profile), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kept"], found["answers"]) == (20, 40)
    assert found["answers_lost"] == 0
    assert found["learned_tokens"] >= 19 * (4 + 2)  # at least "It", "is", "1." and "Yes.", each with its end token


def test_a_template_that_does_not_suit_the_model_is_explained(
    home: Path, base_model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "p.toml"
    profile.write_text(f'[model]\nname = "{base_model}"\nchat_template = "gemma_chatml"\n')
    assert main(["data", "check", str(rows), "--profile", str(profile)]) == 2
    assert 'The chat template "gemma_chatml" can\'t be used with this model' in capsys.readouterr().out
    profile.write_text(f'[model]\nname = "{base_model}"\nchat_template = "./gone.jinja"\n')
    assert main(["data", "check", str(rows), "--profile", str(profile)]) == 2
    assert f"{tmp_path / 'gone.jinja'} can't be read: No such file" in capsys.readouterr().out
