"""The chat templates that a profile can give to a model without one: Unsloth's, by name, or a file."""

from __future__ import annotations

import difflib

from training.contract.model_path import is_path

# The names that `unsloth.chat_templates.get_chat_template` knows; a test compares them.
NAMES = (
    "alpaca", "chatml", "gemma", "gemma-3", "gemma-3n", "gemma-4", "gemma-4-thinking", "gemma2", "gemma2_chatml",
    "gemma3", "gemma3n", "gemma4", "gemma4-thinking", "gemma_chatml", "gpt-oss", "gptoss", "lfm-2", "lfm-2.5", "llama",
    "llama-3", "llama-3.1", "llama-31", "llama-3.2", "llama-32", "llama-3.3",
    "llama-33", "llama3", "mistral", "phi-3", "phi-3.5", "phi-35", "phi-4", "qwen-2.5",
    "qwen-2.5-coder", "qwen-25", "qwen-25-coder", "qwen-3", "qwen2.5", "qwen2.5-coder", "qwen25", "qwen25-coder",
    "qwen3", "qwen3-instruct", "qwen3-thinking", "starling", "unsloth", "vicuna", "vicuna_old", "vicuna old", "yi-chat",
    "zephyr",
)  # fmt: skip
USUAL = 'chatml, llama-3, llama-3.1, qwen-2.5, qwen-3, gemma-3, phi-4 or "./FILE"'


def find_problem(choice: str) -> str:
    """Say why `choice` is no chat template; "" if it is one. A file is not opened."""
    if is_path(choice) or choice in NAMES:
        return ""
    if choice.endswith((".jinja", ".jinja2", ".txt", ".json")):
        return f'a file is written with its folder, such as "./{choice}"'
    close = difflib.get_close_matches(choice, NAMES, 1)
    advice = f'did you mean "{close[0]}"?' if close else f"use {USUAL}"
    return f"is neither a chat template of Unsloth nor a file; {advice}"
