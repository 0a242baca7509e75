"""Answers questions on command and measures them. `chat.py` starts one such process for each way to decode.

    chat_meter.py ours|ours-plain|unsloth RUN_DIRECTORY
    chat_meter.py batches RUN_DIRECTORY ANSWERS TOKENS

Commands come on stdin, one JSON object a line: the question, `adapter`, `tokens`, and `profile` to count kernels. Each
answer is one line of JSON on the descriptor METER_FD. `batches` prints the speed of the judge's answers instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ALONE = 2  # answers that are generated one by one
WARM_UP = 8  # tokens
Answer = Callable[[str, bool, int], tuple[int, float, str]]  # tokens, time of the first one, text


def load_ours(run: Path, graphs: bool) -> Answer:
    from training.contract.chat_messages import AnswerEnd, Generate, Token
    from training.contract.run_directory import RunDirectory
    from training.job.job import read_job
    from training.workers.chat_model import ChatModel

    model = ChatModel.load(RunDirectory(run), read_job(run), lambda *_: None)
    if not graphs:
        model._decoder = None

    def answer(question: str, adapter: bool, tokens: int) -> tuple[int, float, str]:
        sent: list[tuple[float, Any]] = []
        request = Generate(
            id=1, messages=[{"role": "user", "content": question}], adapter=adapter, max_new_tokens=tokens
        )
        model.answer(request, lambda message: sent.append((time.perf_counter(), message)))
        words = [(at, message) for at, message in sent if isinstance(message, Token)]
        end = next(message for _, message in sent if isinstance(message, AnswerEnd))
        if model._decoder and model._decoder.failure:
            print(model._decoder.failure)
        return end.tokens, words[0][0] if words else sent[-1][0], "".join(message.text for _, message in words)

    return answer


def load_unsloth(run: Path) -> Answer:
    from unsloth import FastLanguageModel  # isort: skip

    import torch
    from transformers import TextStreamer

    from training.contract.run_directory import RunDirectory

    model, tokenizer = FastLanguageModel.from_pretrained(str(RunDirectory(run).adapter), load_in_4bit=True)
    FastLanguageModel.for_inference(model)

    def answer(question: str, adapter: bool, tokens: int) -> tuple[int, float, str]:
        times: list[float] = []

        class Streamer(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
                if text:
                    times.append(time.perf_counter())

        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        off = contextlib.nullcontext() if adapter else model.disable_adapter()
        with torch.inference_mode(), off:
            output = model.generate(
                **inputs,
                max_new_tokens=tokens,
                do_sample=False,
                streamer=Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True),
            )
        new = output[0, inputs["input_ids"].shape[1] :]
        return len(new), times[0] if times else time.perf_counter(), tokenizer.decode(new, skip_special_tokens=True)

    return answer


def measure_batches(run: Path, answers: int, tokens: int) -> None:
    """The judge's answers, and a few of them one by one."""
    import torch

    from training.contract.judgement import Question
    from training.contract.run_directory import RunDirectory
    from training.job import answers as batches
    from training.job.job import read_job
    from training.judge.models import JudgeModels

    models = JudgeModels.load(RunDirectory(run), read_job(run), None, "Hello.", lambda *_: None)
    speaker = models.speakers["adapter"]
    questions = [Question(id=str(n), messages=[{"role": "user", "content": f"Say {n}." * 10}]) for n in range(answers)]
    rates = {}
    for largest, count, length in ((batches.MAX_BATCH, 2, WARM_UP), (1, 1, WARM_UP),
                                   (batches.MAX_BATCH, answers, tokens), (1, ALONE, tokens)):  # fmt: skip
        batches.MAX_BATCH = largest
        prompts = batches.encode_prompts(
            questions, range(count), speaker.tokenizer, speaker.form, models.context, length
        )
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        begun = time.perf_counter()
        with models.switch_to("adapter") as model:
            fitting = partial(batches.count_fitting, model)
            answerer = batches.Answerer(model, speaker.tokenizer, models.autocast, fitting)
            done = list(batches.generate_answers(answerer, prompts, length))
        rates[largest] = sum(answer.tokens for _, answer in done) / (time.perf_counter() - begun)
    batched, alone = rates.values()
    figures = {"batched_tokens_per_second": round(batched, 1), "one_by_one": round(alone, 1)}
    print(json.dumps({"answers": answers, "tokens": tokens, **figures, "ratio": round(batched / alone, 2)}), flush=True)


def serve(answer: Answer) -> None:
    import torch
    from kernel_counts import measure_kernels

    answers = os.fdopen(int(os.environ["METER_FD"]), "w", buffering=1)
    loaded = {"reserved_mib": round(torch.cuda.memory_reserved() / 2**20)} if torch.cuda.is_available() else {}
    print(json.dumps(loaded), file=answers)
    for line in sys.stdin:
        command = json.loads(line)
        profiled = command.get("profile") and torch.cuda.is_available()
        profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
        begun = time.perf_counter()
        with profile if profiled else contextlib.nullcontext():
            tokens, first, text = answer(command["question"], command["adapter"], command["tokens"])
        figures = {"tokens": tokens, "seconds": time.perf_counter() - begun, "first": first - begun, "text": text}
        if profiled:
            kernels = measure_kernels(profile)
            figures = {
                "kernels_a_token": round(kernels["kernels"] / tokens),
                "busy_ms_a_token": round(1000 * kernels["busy_seconds"] / tokens, 2),
                "peak_allocated_mib": round(torch.cuda.max_memory_allocated() / 2**20),
            }
        print(json.dumps(figures), file=answers)


def main(kind: str, target: str, *counts: str) -> None:
    run = Path(target)
    if kind == "batches":
        measure_batches(run, *map(int, counts))
    else:
        serve(load_unsloth(run) if kind == "unsloth" else load_ours(run, kind == "ours"))


if __name__ == "__main__":
    main(*sys.argv[1:])
