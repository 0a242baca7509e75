"""The words of a model in training, decoded in three ways. `gap.py words` starts it: gap_words.py RUN QUESTIONS."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from training.contract.chat_messages import AnswerEnd, Generate, Token
from training.contract.run_directory import RunDirectory
from training.dataset.rows import read
from training.dataset.source import local
from training.job import environ
from training.job.job import read_job
from training.job.model import resolve_source

TOKENS = 48


def main() -> None:
    run, job = RunDirectory(Path(sys.argv[1])), read_job(Path(sys.argv[1]))
    environ.prepare(job.profile, job.cache)
    from training.finetune import sft  # isort: skip  # it imports Unsloth first

    import torch
    from peft import load_peft_weights, set_peft_model_state_dict

    from training.finetune.decoding import CheckedDecoder
    from training.finetune.inference import let_answer, without_adapter
    from training.job.chat_answer import answer_request

    model, tokenizer = sft.load_model(job.profile, resolve_source(job.profile.model.name, job.cache))
    model = sft.add_adapter(model, job.profile)
    set_peft_model_state_dict(model, load_peft_weights(str(run.adapter)))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # as the trainer keeps them
    sft.FastLanguageModel.for_training(model)
    rows = read(local("demo:zombie-waves")).rows[: int(sys.argv[2])]
    decoder, form = CheckedDecoder(), job.config.find_row_form()
    precision = sft.choose_precision(job.profile)

    def answer(row: Any, how: str, *, adapter: bool) -> tuple[str, int, float]:
        texts: list[str] = []
        ends: list[AnswerEnd] = []

        def send(message: Any) -> None:
            if isinstance(message, Token):
                texts.append(message.text)
            elif isinstance(message, AnswerEnd):
                ends.append(message)

        request = Generate(id=1, messages=[row.messages[0]], adapter=adapter, max_new_tokens=TOKENS)
        began = time.monotonic()
        answer_request(
            request, model, tokenizer, form, context=job.profile.model.max_seq_length, computing=computing,
            is_stopped=lambda: False, send=send,
            choose_decoder=lambda _, streamer: None if how == "unsloth" else decoder.decode_with(
                streamer, adapter=adapter, use_cache=how == "cache"
            ),
        )  # fmt: skip
        return "".join(texts), ends[0].tokens, time.monotonic() - began

    with let_answer(model, **precision) as computing:
        for adapter in (True, False):
            found: dict[str, list[tuple[str, int, float]]] = {}
            for how in ("plain", "cache", "unsloth"):
                if adapter:
                    found[how] = [answer(row, how, adapter=True) for row in rows]
                    continue
                with without_adapter(model):
                    found[how] = [answer(row, how, adapter=False) for row in rows]
            plain = [text for text, *_ in found["plain"]]
            figures = {
                how: {
                    "equal_to_plain": sum(map(str.__eq__, (text for text, *_ in answers), plain)),
                    "tokens_per_second": round(sum(n for _, n, _ in answers) / sum(s for *_, s in answers), 1),
                    "first": answers[0][0],
                }
                for how, answers in found.items()
            }
            print(json.dumps({"adapter": adapter, "of": len(rows), "failure": decoder.failure, **figures}), flush=True)
    print(json.dumps({"device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"}))


if __name__ == "__main__":
    main()
