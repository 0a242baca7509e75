"""Stop and resume: in 16-bit with dropout and no field at its default, and in 4-bit as the demo is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from support.config_file import read_config, write_config
from support.training_runs import Trainer, demo_profile, events, losses

from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

STEPS = 60
ASKED = {
    "hardware": {"device": "cpu", "vram_limit_mib": 4096},
    "model": {
        "name": "demo:llama",
        "chat_template": "llama-3",
        "max_seq_length": 160,
        "load_in_4bit": False,
        "dtype": "float32",
        "offload_layers": 1,
    },
    "lora": {
        "r": 4,
        "lora_alpha": 12,
        "lora_dropout": 0.1,
        "bias": "lora_only",
        "target_modules": ["q_proj", "v_proj"],
        "modules_to_save": ["lm_head"],
        "use_rslora": True,
    },
    "dataset": {
        "path": "demo:zombie-waves",
        "eval_fraction": 0.5,
        "max_eval_rows": 7,
        "system_prompt": "Answer in one sentence.",
        "on_bad_rows": "skip",
        "learn": "last_answer",
        "long_rows": "refuse",
    },
    "training": {
        "num_train_epochs": 3.0,
        "max_steps": STEPS,
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": 5,
        "weight_decay": 0.1,
        "max_grad_norm": 0.5,
        "optim": "adamw_torch_fused",
        "gradient_checkpointing": True,
        "seed": 11,
        "logging_steps": 2,
    },
    "evaluation": {
        "eval_steps": 20,
        "per_device_eval_batch_size": 2,
        "sample_prompt": "What is a Scattergun?",
        "samples": 3,
        "sample_max_new_tokens": 5,
        "book": "book.jsonl",
    },
    "checkpoints": {"save_steps": 16, "save_total_limit": 3},
}


BOOK = (
    {"id": "easy", "question": "What is a Scattergun?", "must": {"re": "."}},
    {"id": "hard", "question": "What is a Scattergun good for?", "must": "no model says this"},
    {"id": "without marks", "question": "Is a Scattergun good?", "reference": "Yes."},
    {"id": "trained", "question": "Which weapon should a new player upgrade first?", "must_not": "nor this"},
    {"id": "longer than the context", "question": "Why? " * 200, "must": {"re": "."}},
)

LEFT_OUT = (
    "A question of the book is left out of the pass rate. Question longer than the context: The question has 837 "
    "tokens; the model's context has 160."
)


@pytest.fixture(scope="module", autouse=True)
def book(trainer: Trainer) -> Path:
    path = trainer.folder / "book.jsonl"
    path.write_text("".join(json.dumps(question) + "\n" for question in BOOK))
    return path


@pytest.fixture(scope="module")
def whole(program_trainer: Trainer) -> RunDirectory:
    """The run that nobody interrupted."""
    run = program_trainer.run("whole", Profile.model_validate(ASKED))
    assert program_trainer.train(run) == 0, run.log.read_text()
    return run


@pytest.fixture(scope="module")
def stopped(trainer: Trainer) -> RunDirectory:
    """The same run, stopped on the way."""
    run = trainer.run("stopped", Profile.model_validate(ASKED))
    assert trainer.stop_after_a_step(run) == 0, run.log.read_text()
    return run


def test_every_field_reaches_the_trainer(whole: RunDirectory) -> None:
    config = read_config(whole)
    [resolved] = events(whole, "resolved")
    changed = {field: change[1] for field, change in resolved["changed"].items()}
    assert changed == {"hardware.vram_limit_mib": None, "model.offload_layers": 0}
    for table, fields in ASKED.items():
        for field, asked in fields.items():
            assert config["actual"][table][field] == changed.get(f"{table}.{field}", asked), f"{table}.{field}"
    assert resolved["total_steps"] == STEPS
    assert resolved["eval_rows"] == 7
    assert [e["step"] for e in events(whole, "metrics")] == list(range(2, STEPS + 1, 2))
    assert [e["step"] for e in events(whole, "eval")] == [20, 40, 60]
    assert [e["step"] for e in events(whole, "checkpoint")] == [16, 32, 48, 60]
    samples = [(e["step"], e["prompt"]) for e in events(whole, "sample")]
    prompts = [prompt for step, prompt in samples if step == 0]
    assert prompts[0] == "What is a Scattergun?" and len({*prompts}) == 3
    assert samples == [(step, prompt) for step in (0, 20, 40, 60) for prompt in prompts]


def test_the_book_has_a_pass_rate_at_each_evaluation(whole: RunDirectory, book: Path) -> None:
    [resolved] = events(whole, "resolved")
    assert resolved["book_steps"] == 20
    assert _pass_rates(whole) == [(step, 2, 3, 1, 1) for step in (20, 40, 60)]
    assert {event["book"] for event in events(whole, "pass_rate")} == {hashlib.sha256(book.read_bytes()).hexdigest()}
    assert [event["message"] for event in events(whole, "warning")] == [LEFT_OUT]


def test_stop_saves_a_checkpoint_and_the_adapter(stopped: RunDirectory) -> None:
    told = events(stopped)
    assert told[-1]["type"] == "stopped"
    assert told[-1]["resumable"] is True
    step = told[-1]["step"]
    assert 0 < step < STEPS
    assert [event["step"] for event in told if event["type"] == "stopping"] == [step]
    assert (stopped.checkpoints / f"checkpoint-{step}").is_dir()
    assert stopped.has_adapter()


def test_resume_goes_on_as_if_never_interrupted(
    stopped: RunDirectory, whole: RunDirectory, program_trainer: Trainer
) -> None:
    step = events(stopped)[-1]["step"]
    broken = stopped.checkpoints / f"checkpoint-{STEPS - 1}"  # what a crash in the middle of a save leaves
    broken.mkdir()
    (broken / "adapter_model.safetensors").write_bytes(b"\0" * 8)

    assert program_trainer.train(stopped) == 0, stopped.log.read_text()

    told = events(stopped)
    assert [event["seq"] for event in told] == list(range(len(told)))
    second = [event for event in told if event["type"] == "started"][1]
    assert (second["attempt"], second["resume_step"]) == (2, step)
    tokenising = [event for event in events(stopped, "phase") if event["name"] == "tokenising"][-1]
    assert tokenising["detail"] == "from the cache"
    assert tokenising["done"] == tokenising["total"]
    assert told[-1]["type"] == "done"
    assert not broken.exists()
    damaged = (
        f"The checkpoint of step {STEPS - 1} is damaged (trainer_state.json). It is now called broken-{broken.name}. "
        f"The run resumes from step {step}."
    )
    assert [event["message"] for event in events(stopped, "warning")] == [LEFT_OUT, damaged, LEFT_OUT]
    # Two steps a line: of a pair that the stop fell into, only the second is averaged after the resume.
    torn = step + 1 if step % 2 else None
    assert _without(torn, losses(stopped)) == _without(torn, losses(whole))
    assert events(stopped, "metrics")[-1]["tokens"] == events(whole, "metrics")[-1]["tokens"]
    assert _eval_losses(stopped) == _eval_losses(whole)
    assert _pass_rates(stopped) == _pass_rates(whole)
    adapters = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (stopped, whole)]
    assert adapters[0] == adapters[1]


def test_an_evaluation_that_a_stop_left_out_is_made_when_the_run_goes_on(trainer: Trainer) -> None:
    changed = {"training": ASKED["training"] | {"max_steps": 5}, "evaluation": {"eval_steps": 1, "samples": 2}}
    whole, stopped = (trainer.run(name, Profile.model_validate(ASKED | changed)) for name in ("evaluated", "cut-short"))
    assert trainer.train(whole) == 0, whole.log.read_text()
    assert trainer.stop_after_a_step(stopped) == 0, stopped.log.read_text()
    step = events(stopped)[-1]["step"]
    assert 0 < step < 5 and step not in _eval_losses(stopped)
    assert trainer.train(stopped) == 0, stopped.log.read_text()
    assert _eval_losses(stopped) == _eval_losses(whole)
    adapters = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (stopped, whole)]
    assert adapters[0] == adapters[1]
    samples = [[(event["step"], event["text"]) for event in events(run, "sample")] for run in (stopped, whole)]
    assert samples[0] == samples[1]


def test_in_4_bit_it_goes_on_as_if_never_interrupted_too(demo: RunDirectory, trainer: Trainer) -> None:
    # It is asked a book after each step, unlike the other: this disturbs nothing.
    run = trainer.run("stopped-4-bit", demo_profile(evaluation={"eval_steps": 1, "book": "book.jsonl"}))
    for _ in range(2):  # the second attempt is a resume, and is stopped as well
        assert trainer.stop_after_a_step(run, "pass_rate") == 0, run.log.read_text()
    first, second = (event["step"] for event in events(run, "stopped"))
    assert 0 < first < second
    whole = losses(demo)
    assert losses(run) == {step: whole[step] for step in range(1, second + 1)}


def test_a_run_from_before_dataset_learn_keeps_its_mask(trainer: Trainer) -> None:
    """Such a run learned the last answer of each conversation only. Its resume does so too."""
    rows = trainer.folder / "conversations.jsonl"
    turns = [
        {"role": role, "content": f"{role} says {word}."} for word in ("yes", "no") for role in ("user", "assistant")
    ]
    rows.write_text("".join(json.dumps({"messages": [*turns, *turns[:2]], "n": n}) + "\n" for n in range(40)))
    tables = {"training": {"max_steps": 12}, "dataset": {"learn": "last_answer", "eval_fraction": 0.0}}
    whole, stopped = (trainer.run(f"{name}-older", demo_profile(**tables), str(rows)) for name in ("whole", "stopped"))
    for run in (whole, stopped):
        config = read_config(run)
        del config["profile"]["dataset"]["learn"], config["profile"]["dataset"]["long_rows"]
        write_config(run, config)
    assert trainer.train(whole) == 0, whole.log.read_text()
    assert trainer.stop_after_a_step(stopped) == 0, stopped.log.read_text()
    assert trainer.train(stopped) == 0, stopped.log.read_text()
    assert losses(stopped) == losses(whole)
    assert events(stopped, "warning") == []
    assert read_config(stopped)["actual"]["dataset"]["learn"] == "last_answer"
    asked = {"dataset": {"eval_fraction": 0.0}, "evaluation": {"eval_steps": 5, "book": "book.jsonl"}}
    newer = trainer.run("newer", demo_profile(**tables | asked), str(rows))
    assert trainer.train(newer) == 0, newer.log.read_text()
    assert [event["step"] for event in events(newer, "pass_rate")] == [5, 10, 12]  # there are no evaluation rows
    assert events(newer, "eval") == []
    assert losses(newer)[1] != losses(whole)[1]


def _without(step: int | None, values: dict[int, tuple[float, ...]]) -> dict[int, tuple[float, ...]]:
    return {at: value for at, value in values.items() if at != step}


def _pass_rates(run: RunDirectory) -> list[tuple[int, ...]]:
    names = ("step", "passes", "questions", "trained_passes", "trained_questions")
    return [tuple(event[name] for name in names) for event in events(run, "pass_rate")]


def _eval_losses(run: RunDirectory) -> dict[int, float]:
    return {event["step"]: event["eval_loss"] for event in events(run, "eval")}


def test_wholeness_is_told_file_by_file(whole: RunDirectory, trainer: Trainer) -> None:
    newest, damaged = trainer.run_program("files", "damage_a_checkpoint", str(whole.checkpoints))
    assert newest == f"checkpoint-{STEPS}"
    assert set(map(tuple, damaged.values())) == {(False, False)}, damaged
