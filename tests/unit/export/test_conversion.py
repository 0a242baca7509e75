"""What can be converted: the structure of tokenizers, and the kinds of adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.contract.failures import TrainingFailure
from training.export.conversion import explain_unsupported
from training.export.pre_tokenizer import find_pre_tokenizer, match_rule

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
LLAMA3 = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)


def split(pattern: str, *steps: dict[str, Any]) -> dict[str, Any]:
    first = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [first, *steps]}}


@pytest.mark.parametrize(
    ("description", "rule"),
    [
        ({"pre_tokenizer": {**BYTES, "use_regex": True}}, "gpt-2"),
        (split(LLAMA3, BYTES), "llama-bpe"),
        (split(LLAMA3.replace("{1,3}", ""), BYTES) | {"normalizer": {"type": "NFC"}}, "qwen2"),
        (split(r"\w+", BYTES), ""),
        (split(LLAMA3, {**BYTES, "use_regex": True}), ""),
        (split(LLAMA3, {**BYTES, "add_prefix_space": True}), ""),
        ({"pre_tokenizer": {**BYTES, "use_regex": True}, "normalizer": {"type": "Lowercase"}}, ""),
        ({"pre_tokenizer": {"type": "Whitespace"}}, ""),
        ({"pre_tokenizer": None}, ""),
        ({}, ""),
    ],
)
def test_the_rule_follows_from_the_structure(description: dict[str, Any], rule: str, tmp_path: Path) -> None:
    assert match_rule(description) == rule
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))
    if rule:
        assert find_pre_tokenizer(tmp_path) == rule
    else:
        with pytest.raises(TrainingFailure, match="does not know this tokenizer"):
            find_pre_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"modules_to_save": None, "use_dora": False, "bias": "none", "rank_pattern": {"q": 4}}, ""),
        ({"use_rslora": True, "modules_to_save": []}, ""),
        ({"modules_to_save": ["lm_head"]}, "it has whole modules (lm_head)"),
        ({"trainable_token_indices": [1]}, "it has trained tokens"),
        ({"use_dora": True}, "it is a DoRA adapter"),
        ({"bias": "all"}, "it has biases"),
        ({"lora_bias": True}, "it has biases"),
        ({"alpha_pattern": {"q": 4}}, "its modules have different scales"),
        ({"rank_pattern": {"q": 4}, "use_rslora": True}, "its modules have different scales"),
    ],
)
def test_an_adapter_that_the_format_has_no_place_for_is_named(config: dict[str, Any], problem: str) -> None:
    reason = explain_unsupported(config)
    assert reason.startswith(problem)
    assert bool(reason) == bool(problem)
