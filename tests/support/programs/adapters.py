"""An adapter in plain transformers and peft, on the base model in full precision."""

from __future__ import annotations

import json

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def ask(base: str, adapter: str, questions: str) -> list[list[str]]:
    """The answers to `questions` (a JSON list) with the adapter, and without it."""
    tokenizer = AutoTokenizer.from_pretrained(adapter, padding_side="left")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    chats = [[{"role": "user", "content": question}] for question in json.loads(questions)]

    def answers() -> list[str]:
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
        return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    tuned = answers()
    with model.disable_adapter():
        return [tuned, answers()]
