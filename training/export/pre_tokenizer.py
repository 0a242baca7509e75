"""Finds the rule of llama.cpp for a tokenizer that its converter does not recognise.

llama.cpp splits a text by a rule before it applies the merges, and a GGUF file names this rule. The converter knows
the rule of published tokenizers by their hash. For another tokenizer the rule follows from the structure of its
tokenizer.json, and the caller must show on samples that both give the same tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.contract.failures import TrainingFailure

# The patterns by which tokenizers split, and the rule of llama.cpp with the same pattern.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_WORDS}|\p{{N}}|{_REST}"
_RULES = {_LLAMA3: "llama-bpe", _QWEN2: "qwen2"}


def find_pre_tokenizer(folder: Path) -> str:
    """Return the rule for the tokenizer in `folder`. Raises TrainingFailure if none is known for its structure."""
    try:
        description = json.loads((folder / "tokenizer.json").read_bytes())
    except (OSError, ValueError):
        description = {}
    if rule := match_rule(description):
        return rule
    raise TrainingFailure(
        "bad_config",
        "The converter of llama.cpp does not know this tokenizer, so the exported model would read other tokens.",
        "A newer llama.cpp may know it: name yours with `codex-tui config llama_cpp.path FOLDER`.",
    )


def match_rule(description: dict[str, Any]) -> str:
    """Return the rule for a tokenizer.json, "" if it has another structure than those that are known."""
    if description.get("normalizer") not in (None, {"type": "NFC"}):
        return ""
    step = description.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers", []) if step.get("type") == "Sequence" else [step]
    if any(one.get("add_prefix_space") for one in steps):
        return ""
    match [one.get("type") for one in steps]:
        case ["ByteLevel"] if steps[0].get("use_regex", True):
            return "gpt-2"
        case ["Split", "ByteLevel"] if not steps[1].get("use_regex", True):
            return _RULES.get(steps[0].get("pattern", {}).get("Regex", ""), "")
    return ""
