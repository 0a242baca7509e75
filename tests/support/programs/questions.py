"""Answers of a model in training, with and without a cache, and where one finds no memory. The adapter is that of a
finished demo run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training.finetune import sft  # first: it imports Unsloth

# isort: split
import torch
from peft import load_peft_weights, set_peft_model_state_dict
from transformers import TrainerControl, TrainerState

from training.contract import questions as box
from training.contract.chat_messages import AnswerEnd, Generate, Token
from training.contract.config import RowForm
from training.contract.messages import WorkerError
from training.contract.run_directory import RunDirectory
from training.dataset.rows import read
from training.dataset.source import local
from training.finetune import callbacks, decoding, questions
from training.job import environ
from training.job.job import read_job
from training.job.model import resolve_source

QUESTIONS = 4


def answer_questions(path: str) -> dict[str, Any]:
    """The words of adapter and base: with the cache, without it, with a cache that computes something else, and where
    there is no memory. Then what is left of the state that an answer changes."""
    run, job = RunDirectory(Path(path)), read_job(Path(path))
    environ.prepare(job.profile, job.cache)
    model, tokenizer = sft.load_model(job.profile, resolve_source("demo:llama", job.cache))
    model = sft.add_adapter(model, job.profile)
    set_peft_model_state_dict(model, load_peft_weights(str(run.adapter)))
    rows = read(local("demo:zombie-waves")).rows[:QUESTIONS]
    asked = RunDirectory(Path.cwd() / "asked-in-training")
    asked.create()
    warnings = list[str]()
    events = SimpleNamespace(emit=lambda event: None)
    stop = SimpleNamespace(level=None)
    attempt: Any = SimpleNamespace(
        run=asked, locate_run=lambda: asked, warn=warnings.append, events=events, stop=stop, step=0
    )
    nothing: Any = None
    reporter = callbacks.Reporter(attempt, nothing, None)
    arguments: Any = SimpleNamespace(bf16=True, fp16=False)
    state, control = TrainerState(max_steps=9), TrainerControl()
    state.global_step = 5
    free: int | None = None

    def ask(answerer: questions.AnswerQuestions, **options: Any) -> list[Any]:
        requests = [
            Generate(id=place, messages=[row.messages[0]], adapter=adapter, max_new_tokens=24, **options)
            for adapter in (True, False)
            for place, row in enumerate(rows)
        ]
        names = [box.ask(asked, request) for request in requests]
        answerer.on_step_end(arguments, state, control, model=model, processing_class=tokenizer)
        return [tell(asked, name) for name in names]

    def make() -> questions.AnswerQuestions:
        limit: Any = SimpleNamespace(count_free_bytes=lambda: free)
        return questions.AnswerQuestions(attempt, reporter, job.profile, RowForm(), limit)

    sft.FastLanguageModel.for_training(model)  # as trl's trainer does
    before = describe(model)
    with_cache = make()
    found: dict[str, Any] = {"with cache": ask(with_cache), "failure": with_cache._decoder.failure}
    free = 1000
    found["without cache"] = ask(make())
    free = None
    compute = decoding._GrowingCache.compute_logits
    decoding._GrowingCache.compute_logits = lambda cache, ids: compute(cache, ids).flip(-1)
    found["wrong cache"] = ask(make())
    decoding._GrowingCache.compute_logits = compute
    found["sampled"] = [ask(make(), temperature=1.0, seed=3)[0] for _ in range(2)]

    def run_out(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    decoding.CheckedDecoder._find_logits = run_out
    found["no memory"] = ask(make())[:1]
    long = Generate(id=1, messages=[{"role": "user", "content": "Why? " * 500}])
    name = box.ask(asked, long)
    make().on_step_end(arguments, state, control, model=model, processing_class=tokenizer)
    found["too long"] = tell(asked, name)
    stop.level = "save"
    found["after a stop request"] = ask(make())[:1]
    after = describe(model)
    changed = [(name, value, after[name]) for name, value in before.items() if after[name] != value]
    return {**found, "changed": changed, "warnings": warnings}


def tell(run: RunDirectory, name: str) -> Any:
    messages, _ = box.read_answer(run, name, 0)
    box.withdraw(run, name)
    text = "".join(message.text for message in messages if isinstance(message, Token))
    match messages[-1:]:
        case [AnswerEnd(reason=reason)]:
            return [text, reason]
        case [WorkerError(kind=kind, message=message)]:
            return [kind, message]
    return None


def describe(model: Any) -> dict[str, Any]:
    """What training depends on and an answer changes for a while."""
    modules = {
        f"module {name}": (module.training, getattr(module, "gradient_checkpointing", None))
        for name, module in model.named_modules()
    }
    weights = {f"weight {name}": weight.requires_grad for name, weight in model.named_parameters()}
    return modules | weights | {"random": torch.get_rng_state().tolist(), "cache": model.config.use_cache}
