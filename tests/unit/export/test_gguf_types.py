"""The types of GGUF files: their names and sizes."""

from __future__ import annotations

from codex_tui.export.gguf_types import describe_fallbacks, estimate_bytes, name_file
from training.contract.gguf_messages import FLOAT_TYPES, QUANTS


def test_every_type_has_a_size() -> None:
    sizes = [estimate_bytes(quant, 10**9) for quant in (*FLOAT_TYPES, *QUANTS)]
    assert sizes[0] > sizes[1] == sizes[2] > max(sizes[3:])


def test_sizes_are_those_of_published_files() -> None:
    """Files of Llama 3.2 3B, 3.21 billion weights, in GB."""
    for quant, size in {"f16": 6.43, "q8_0": 3.42, "q6_k": 2.64, "q4_k_m": 2.02}.items():
        assert size < estimate_bytes(quant, 3_212_749_888) / 1e9 < size * 1.15


def test_names_and_remarks() -> None:
    assert name_file("guide", "q4_k_m") == "guide-Q4_K_M.gguf"
    assert describe_fallbacks({"quant": "q8_0", "fallbacks": 0, "tensors": 3}) == ""
    assert describe_fallbacks({"quant": "f16"}) == ""
    assert describe_fallbacks({"quant": "q4_k_m", "fallbacks": 2, "tensors": 3}).startswith("2 of 3 tensors keep more")
