"""Prompts of samples and chats, encoded by the trainer's and the worker's own code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec

from support.programs.chat_templates import STYLES, build_tokenizer
from training.contract.chat_messages import Generate
from training.contract.config import RowForm
from training.contract.profile import Profile
from training.dataset.records import Record
from training.dataset.shapes import read_row
from training.demo import llama
from training.job.prompt import encode_prompt
from training.workers.chat_model import ChatModel
from training.workers.pipe import Pipe


def encode_sample_with_tools() -> str:
    """The prompt of the sample for a row that describes tools."""
    from training.finetune.samples import choose_questions

    messages = [{"role": "user", "content": "Refill?"}, {"role": "assistant", "content": "In an hour."}]
    tools = [{"type": "function", "function": {"name": "refill", "parameters": {}}}]
    row = read_row(Record(0, 1, {"messages": messages, "tools": tools}))
    [question] = choose_questions(Profile.model_validate({"model": {"name": "x"}}), [row])
    tokenizer = build_tokenizer(STYLES["qwen-3"])
    inputs = encode_prompt(tokenizer, question.turns, question.form, question.tools)
    return str(tokenizer.decode(inputs["input_ids"][0]))


def refuse_system_message() -> list[str]:
    """The message and the hint where the chat template has no system role."""
    from training.contract.failures import TrainingFailure

    tokenizer = build_tokenizer(STYLES["gemma"])
    try:
        encode_prompt(tokenizer, [{"role": "user", "content": "Hi"}], RowForm(system_prompt="Be brief."))
    except TrainingFailure as failure:
        return [failure.message, failure.hint]
    return []


def run_out_of_memory() -> list[Any]:
    """The answers of a chat whose model needs more GPU memory than there is."""
    import torch

    def generate(**_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    model = SimpleNamespace(
        generate=generate, device=torch.device("cpu"), generation_config=SimpleNamespace(eos_token_id=0)
    )
    chat = ChatModel("cpu", False, None, RowForm(), 2048, model, llama.build_tokenizer(), torch.float32)
    sent: list[Any] = []
    try:
        chat.answer(Generate(id=3, messages=[{"role": "user", "content": "Hi"}]), sent.append)
    except Exception as error:  # noqa: BLE001  as the worker does
        pipe = SimpleNamespace(send=sent.append)
        Pipe.send_error(pipe, error, 3)  # type: ignore[arg-type]
    return [msgspec.to_builtins(answer) for answer in sent]
