"""Questions to a model in training: it answers between two steps, and training goes on as if nobody had asked."""

from __future__ import annotations

import time

from support.training_runs import Trainer, demo_profile, events, losses

from training.contract import questions
from training.contract.chat_messages import AnswerBegin, AnswerEnd, ChatAnswer, Generate, Token
from training.contract.run_directory import RunDirectory

QUESTION = "Which weapon should a new player upgrade first?"


def ask(run: RunDirectory, *, adapter: bool = True, max_new_tokens: int = 8, temperature: float = 0.0) -> str:
    messages = [{"role": "user", "content": QUESTION}]
    request = Generate(id=1, messages=messages, adapter=adapter, max_new_tokens=max_new_tokens, temperature=temperature)
    return questions.ask(run, request)


def wait_for(run: RunDirectory, name: str, kind: type[ChatAnswer]) -> list[ChatAnswer]:
    """The messages of an answer as soon as there is one of `kind`."""
    found = list[ChatAnswer]()
    while not any(isinstance(message, kind) for message in found):
        time.sleep(0.01)  # pytest-timeout ends a wait in vain
        found, _ = questions.read_answer(run, name, 0)
    return found


def test_training_goes_on_as_if_nobody_had_asked(demo: RunDirectory, trainer: Trainer) -> None:
    run = trainer.run("asked", demo_profile())
    with run.log.open("a") as log:
        process = trainer.start(str(run.path), stdout=log, stderr=log)
    waiting = [ask(run, adapter=adapter) for adapter in (True, False)]  # while it loads
    answers = [wait_for(run, name, AnswerEnd) for name in waiting]
    assert [answer[0].step for answer in answers if isinstance(answer[0], AnswerBegin)] == [1, None]
    assert all(any(isinstance(message, Token) for message in answer) for answer in answers)
    while len(events(run, "metrics")) < 5:
        time.sleep(0.01)
    # A sampled answer is in the middle when a stop request comes: it ends at once.
    sampled = ask(run, max_new_tokens=80, temperature=100.0)
    wait_for(run, sampled, Token)
    run.request_stop("save")
    assert process.wait(600) == 0, run.log.read_text()
    [step] = [event["step"] for event in events(run, "stopped")]
    whole = losses(demo)
    assert step >= 5 and losses(run) == {number: whole[number] for number in range(1, step + 1)}
    assert not run.questions.exists()
    told = run.events.read_text()
    assert QUESTION not in told.replace(events(run, "sample")[0]["prompt"], "")
    phases = [event["name"] for event in events(run, "phase")]
    assert phases.count("answering") == 2
    assert events(run, "warning") == []


def test_answers_have_the_words_of_the_model_and_disturb_nothing(demo: RunDirectory, trainer: Trainer) -> None:
    found = trainer.run_program("questions", "answer_questions", str(demo.path))
    plain = found["without cache"]
    adapter, base = plain[:4], plain[4:]
    assert adapter != base and all(reason == "eos" for _, reason in adapter)
    assert found["with cache"] == plain and found["failure"] == ""
    assert found["wrong cache"] == plain
    assert [warning[:43] for warning in found["warnings"]] == ["Answers during training are slower: with a "]
    first, again = found["sampled"]
    assert first == again and first not in adapter
    [[kind, message]] = found["no memory"]
    assert (kind, message.startswith("The answer to ")) == ("gpu_memory", True)
    assert found["too long"][0] == "bad_data"
    assert found["after a stop request"] == [None]
    assert found["changed"] == []
