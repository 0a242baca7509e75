"""The number types of GGUF files: their sizes, and the names of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_BITS_PER_WEIGHT = {
    "f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q6_k": 6.6, "q5_k_m": 5.7, "q5_k_s": 5.6, "q5_0": 5.6,
    "q4_k_m": 4.9, "q4_k_s": 4.7, "q4_0": 4.6, "iq4_nl": 4.6, "iq4_xs": 4.4, "q3_k_l": 4.4, "q3_k_m": 4.0,
    "q3_k_s": 3.6, "q2_k": 3.4,
}  # fmt: skip
_VOCABULARY_BYTES = 16 * 2**20  # and other metadata, at most
_SPARE = 1.1  # small models have larger embeddings, which keep more bits


def estimate_bytes(quant: str, parameters: int) -> int:
    """Estimate the size of a file, rather too large."""
    return int(parameters * _BITS_PER_WEIGHT[quant] / 8 * _SPARE) + _VOCABULARY_BYTES


def name_file(name: str, quant: str) -> str:
    """Return the name of a model's file in the way of llama.cpp, such as guide-Q4_K_M.gguf."""
    return f"{name}-{quant.upper()}.gguf"


def name_quant(file: Path) -> str:
    """Return the type of a file that `name_file` has named."""
    return file.stem.rpartition("-")[2].lower()


def describe_fallbacks(facts: dict[str, Any]) -> str:
    """Say that tensors have another type than the one that was asked for; "" if none has."""
    if not facts.get("fallbacks"):
        return ""
    return (
        f"{facts['fallbacks']} of {facts['tensors']} tensors keep more bits than {facts['quant']}, because their rows "
        "can't be divided by 256. The file is larger, and no worse."
    )
