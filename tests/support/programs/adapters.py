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


def measure_loss(base: str, adapter: str, pairs: str) -> list[float]:
    """The mean loss of the answers in `pairs`, a JSON list of [question, answer]: over all their tokens, and over the
    means of the rows."""
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    losses = []
    for question, answer in json.loads(pairs):
        chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        prompt = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(chat, tokenize=False)
        start, tokens = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, whole))
        inputs = torch.tensor([tokens])
        with torch.inference_mode():
            logits = model(input_ids=inputs).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, inputs[0, 1:], reduction="none")[len(start) - 1 :])
    return [torch.cat(losses).mean().item(), torch.stack([row.mean() for row in losses]).mean().item()]
