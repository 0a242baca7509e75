"""The samples of an evaluation, with the adapter of a finished demo run in place of a model in training."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import TrainerState

from training.contract.run_directory import RunDirectory
from training.dataset.rows import read
from training.dataset.source import local
from training.demo import llama
from training.finetune import samples
from training.job import environ
from training.job.job import read_job
from training.job.model import load_for_chat

QUESTIONS = 6


@contextmanager
def let_answer(model: Any, **_: Any) -> Any:
    yield nullcontext


def answer_in_batches(path: str) -> dict[str, list[Any]]:
    """The answers all in one batch, one by one, and where no more than two find memory; each with the sizes of its
    batches. Then the warnings where no answer finds memory, at two evaluations."""
    run, job = RunDirectory(Path(path)), read_job(Path(path))
    environ.prepare(job.profile, job.cache)
    folder = str(llama.build(job.cache))
    model, tokenizer = load_for_chat(folder, revision=None, load_in_4bit=True, dtype="float32", adapter=run.adapter)
    samples.let_answer = let_answer
    profile = job.profile.with_value("evaluation.samples", QUESTIONS)
    questions = samples.choose_questions(profile, read(local("demo:zombie-waves")).rows)
    generate, sizes, largest = model.generate, list[int](), QUESTIONS
    events, warnings = list[Any](), list[str]()

    def generate_some(**arguments: Any) -> Any:
        sizes.append(len(arguments["input_ids"]))
        if sizes[-1] > largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return generate(**arguments)

    model.generate = generate_some

    def report(pass_tokens: int) -> list[Any]:
        events.clear()
        sizes.clear()
        attempt: Any = SimpleNamespace(events=SimpleNamespace(emit=events.append), warn=warnings.append)
        sampler = samples.Sampler(attempt, questions, 24, pass_tokens)
        arguments: Any = SimpleNamespace(bf16=False, fp16=False)
        for step in (7, 8) if largest == 0 else (7,):
            sampler.report(model, tokenizer, arguments, TrainerState(global_step=step))
        return [[event.text for event in events], [*sizes]]

    found = {"together": report(100_000), "alone": report(1)}
    largest = 2
    found["short of memory"] = report(100_000)
    largest = 0
    found["without memory"] = report(100_000)
    return {**found, "warnings": warnings, "prompts": [question.prompt for question in questions]}
