"""The chat asks in the form of the rows that the run learned from, as the samples of its evaluations do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.training_runs import Talk, Trainer, demo_profile, events

from training.contract.config import RunConfig
from training.contract.run_directory import RunDirectory
from training.dataset.source import DEMO_FILE
from training.dataset.split import choose_eval_rows

STEPS = 240  # until the answers are sure: two tokens that are equally likely are chosen by their rounding
PIRATE = "You are a pirate. Answer in pirate words only."


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def train(trainer: Trainer, name: str, rows: str, question: str, **dataset: Any) -> RunDirectory:
    """Trains for a few steps and evaluates at the last one, so that the last sample shows the saved adapter."""
    profile = demo_profile(
        training={"max_steps": STEPS, "warmup_steps": 5},
        evaluation={"eval_steps": STEPS, "sample_prompt": question, "sample_max_new_tokens": 24},
        dataset=dataset,
    )
    run = trainer.run(name, profile, rows)
    assert trainer.train(run) == 0, run.log.read_text()
    return run


def ask(worker: Talk, *turns: str, **options: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Asks with turns of user and assistant by turns. Returns the answer and the messages around it."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(turns)]
    worker.say(type="generate", id=1, messages=messages, **{"max_new_tokens": 24, **options})
    heard = worker.until("end", "error")
    assert heard[-1]["type"] == "end", heard
    begin = next(message for message in heard if message["type"] == "begin")
    return "".join(message["text"] for message in heard if message["type"] == "token"), begin, heard[-1]


@pytest.fixture(scope="module")
def pairs() -> list[dict[str, str]]:
    return [json.loads(row) for row in DEMO_FILE.read_text().splitlines()[:36]]


@pytest.fixture(scope="module")
def question(pairs: list[dict[str, str]]) -> dict[str, str]:
    """A row that is learned, not held out, and that the system message precedes in all runs."""
    held_out = choose_eval_rows(len(pairs), demo_profile())
    return next(pair for place, pair in enumerate(pairs) if place not in held_out)


@pytest.fixture(scope="module")
def pirate(
    trainer: Trainer,
    pairs: list[dict[str, str]],
    question: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> RunDirectory:
    rows = write_rows(tmp_path_factory.mktemp("rows") / "pairs.jsonl", pairs)
    return train(trainer, "pirate", rows, question["instruction"], system_prompt=PIRATE)


def test_the_chat_answers_as_the_sample_did_under_a_system_prompt(
    pirate: RunDirectory, pairs: list[dict[str, str]], talk: Callable[..., Talk]
) -> None:
    sample = events(pirate, "sample")[-1]
    worker = talk("chat", str(pirate.path))
    ready = worker.until("ready", "error")[-1]
    assert ready["form"]["system_prompt"] == PIRATE
    answer, begin, _ = ask(worker, sample["prompt"])
    assert answer == sample["text"]
    questions = [pair["instruction"] for pair in pairs]
    assert any(ask(worker, question, system_prompt=None)[0] != ask(worker, question)[0] for question in questions)
    assert ask(worker, sample["prompt"], system_prompt=None)[1]["tokens"] < begin["tokens"]
    assert ask(worker, sample["prompt"], system_prompt=PIRATE + " Sing.")[1]["tokens"] > begin["tokens"]
    assert ask(worker, sample["prompt"])[0] == answer  # an edit is for one request


def test_the_system_message_that_most_rows_bring_is_the_chats(
    trainer: Trainer,
    pairs: list[dict[str, str]],
    question: dict[str, str],
    talk: Callable[..., Talk],
    tmp_path: Path,
) -> None:
    rows = [{"system": PIRATE, **pair} for pair in pairs[:30]] + pairs[30:]
    run = train(trainer, "own-system", write_rows(tmp_path / "rows.jsonl", rows), question["instruction"])
    sample = events(run, "sample")[-1]
    assert sample["reference"] == question["response"]
    worker = talk("chat", str(run.path))
    assert worker.until("ready", "error")[-1]["form"]["system_prompt"] == PIRATE
    assert ask(worker, sample["prompt"])[0] == sample["text"]


def test_a_run_on_plain_text_continues_the_text(
    trainer: Trainer, pairs: list[dict[str, str]], talk: Callable[..., Talk], tmp_path: Path
) -> None:
    rows = ({"text": f"{row['instruction']} {row['response']}"} for row in pairs)
    run = train(trainer, "plain-text", write_rows(tmp_path / "rows.jsonl", rows), "Which weapon should")
    sample = events(run, "sample")[-1]
    worker = talk("chat", str(run.path))
    assert worker.until("ready", "error")[-1]["form"]["text"]
    assert ask(worker, "Which weapon should")[0] == sample["text"]
    # A text and its continuation are one text, so a continuation can go on.
    assert ask(worker, "Which weapon", " should")[0] == sample["text"]

    # An older run has no form in its config.json: the first row shows it.
    config = RunConfig.read(run.config)
    recorded, config.row_form = config.row_form, None
    assert recorded is not None
    assert recorded.text
    assert 0 < (recorded.max_tokens or 0) <= 128
    config.write(run.config)
    older = talk("chat", str(run.path))
    assert older.until("ready", "error")[-1]["form"] == {"text": True, "max_tokens": 128}
    assert ask(older, "Which weapon should")[0] == sample["text"]


def test_a_conversation_longer_than_the_context_loses_whole_turns_from_the_front(
    demo: RunDirectory, talk: Callable[..., Talk]
) -> None:
    sample = events(demo, "sample")[-1]
    worker = talk("chat", str(demo.path))
    context = worker.until("ready", "error")[-1]["context"]
    assert context == 2048
    answer, begin, _ = ask(worker, sample["prompt"])
    assert (answer, begin["left_out"]) == (sample["text"], 0)
    turns = [word for number in range(20) for word in (f"Question {number} " + "word " * 120, "Yes.")]
    _, begin, _ = ask(worker, *turns, sample["prompt"])
    assert 0 < begin["left_out"] < 40
    assert begin["left_out"] % 2 == 0  # a question goes with its answer
    kept = ask(worker, *turns[begin["left_out"] :], sample["prompt"])[1]
    assert (kept["left_out"], kept["tokens"]) == (0, begin["tokens"])
    assert ask(worker, *turns[begin["left_out"] - 2 :], sample["prompt"])[1]["left_out"] == 2

    # A question that fills the context by itself is refused; one that leaves little room gets a short answer.
    worker.say(type="generate", id=2, messages=[{"role": "user", "content": "word " * 3000}])
    error = worker.until("end", "error")[-1]
    assert error["message"].startswith("The question has ")
    assert error["message"].endswith("tokens; the model's context has 2,048.")
    tokens = [ask(worker, "word " * words, max_new_tokens=1)[1]["tokens"] for words in (100, 200)]
    words = 100 * (context - 200) // (tokens[1] - tokens[0])
    begin, end = ask(worker, "word " * words, adapter=False, max_new_tokens=100_000)[1:]
    assert begin["tokens"] + end["tokens"] == context
    assert end["reason"] == "context"


def test_sampling_is_repeated_by_its_seed(demo: RunDirectory, talk: Callable[..., Talk]) -> None:
    worker = talk("chat", str(demo.path))
    worker.until("ready", "error")
    question = "Tell me everything."
    hot = {"temperature": 2.0, "max_new_tokens": 24}
    first = ask(worker, question, seed=1, **hot)[0]
    assert ask(worker, question, seed=2, **hot)[0] != first
    assert ask(worker, question, seed=1, **hot)[0] == first
    greedy = ask(worker, question)[0]
    assert ask(worker, question, temperature=2.0, top_p=1e-6, seed=3)[0] == greedy


def test_a_sample_shows_the_tools_of_its_row(trainer: Trainer) -> None:
    prompt = trainer.run_program("prompts", "encode_sample_with_tools")
    assert '"name": "refill"' in prompt
    assert prompt.index("refill") < prompt.index("Refill?")


def test_a_chat_template_that_refuses_the_system_message_is_explained(trainer: Trainer) -> None:
    message, hint = trainer.run_program("prompts", "refuse_system_message")
    assert message == "The model's chat template refuses this conversation: System role not supported."
    assert hint.startswith("Remove the system message")


def test_an_answer_that_runs_out_of_gpu_memory_is_explained(trainer: Trainer) -> None:
    begin, error = trainer.run_program("prompts", "run_out_of_memory")
    assert (begin["type"], error["type"], error["id"], error["kind"]) == ("begin", "error", 3, "gpu_memory")
    assert error["message"] == f"The answer to {begin['tokens']} tokens needs more GPU memory than is free."
    assert "Clear the conversation" in error["hint"]
