"""The lines that load a model of a run: on its card, and for a person to copy."""

from __future__ import annotations

import json
from typing import Literal

CardKind = Literal["adapter", "merged", "gguf"]

_PYTHON = """\
{imports}
model = {model_class}.from_pretrained({place}, device_map="auto")
tokenizer = AutoTokenizer.from_pretrained({place})
prompt = {prompt}
print(tokenizer.decode(model.generate(**prompt.to(model.device), max_new_tokens=256)[0]))"""
_CHAT = 'tokenizer.apply_chat_template({messages}, add_generation_prompt=True, return_tensors="pt", return_dict=True)'
_TEXT = 'tokenizer("The beginning of a text", return_tensors="pt")'


def format_usage(kind: CardKind, place: str, system_prompt: str | None, *, is_text: bool, file: str = "") -> str:
    """Return at most six lines of Python that load the model and ask it, or the command that serves a GGUF `file`.
    `place` is a folder or a repository of the Hub. `is_text`: the model continues a text without a chat template."""
    if kind == "gguf":
        return f"llama-server --model {file}"
    model_class = "AutoPeftModelForCausalLM" if kind == "adapter" else "AutoModelForCausalLM"
    imports = f"from peft import {model_class}\nfrom transformers import AutoTokenizer"
    if kind == "merged":
        imports = f"from transformers import {model_class}, AutoTokenizer"
    messages = [{"role": "user", "content": "Your question"}]
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    prompt = _TEXT if is_text else _CHAT.format(messages=json.dumps(messages, ensure_ascii=False))
    return _PYTHON.format(imports=imports, model_class=model_class, place=json.dumps(place), prompt=prompt)
