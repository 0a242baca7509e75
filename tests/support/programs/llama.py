"""What transformers and peft say of the demo, to compare with llama.cpp."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.contract.run_directory import RunDirectory

NEW_TOKENS = 64


def merge(run_path: str, folder: str) -> None:
    """Merge the adapter of a run with peft."""
    run = RunDirectory(Path(run_path))
    tokenizer = AutoTokenizer.from_pretrained(run.adapter)
    base = json.loads((run.adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(model, run.adapter).merge_and_unload().to(torch.float16)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def answer(folder: str, pairs: str) -> list[dict[str, Any]]:
    """Return for each pair of a question and an answer: the prompt's tokens, the greedy answer, and the tokens of the
    given answer with their log-probabilities."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return [_answer(model, tokenizer, *pair, greedy=True) for pair in json.loads(pairs)]


def make_adapter(base: str, folder: str, pairs: str, rslora: str) -> list[list[dict[str, Any]]]:
    """Save a random adapter without whole modules. Return the log-probabilities of the pairs without and with it."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    before = [_answer(model, tokenizer, *pair, greedy=False) for pair in json.loads(pairs)]
    modules = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=modules,
        use_rslora=bool(rslora),
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    for name, weights in adapted.named_parameters():
        if "lora_" in name:
            weights.data.normal_(0, 1 / math.sqrt(128))
    adapted.save_pretrained(folder)
    adapted.eval()
    return [before, [_answer(adapted, tokenizer, *pair, greedy=False) for pair in json.loads(pairs)]]


@torch.inference_mode()
def _answer(model: Any, tokenizer: Any, question: str, given: str, *, greedy: bool) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}]
    prompt = list(tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"])
    result: dict[str, Any] = {"question": question, "prompt": prompt}
    if greedy:
        written = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
        )[0][len(prompt) :].tolist()
        result["text"] = tokenizer.decode(written, skip_special_tokens=True)
        result["tokens"] = len(written)
        result["ended"] = "eos" if written[-1] == tokenizer.eos_token_id else "length"
    tokens = [*tokenizer(given, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    logits = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
    result["given"] = tokens
    result["log_probabilities"] = [logits[len(prompt) - 1 + i, token].item() for i, token in enumerate(tokens)]
    return result
