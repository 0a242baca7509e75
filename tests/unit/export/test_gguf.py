"""The types of GGUF files: their names and sizes."""

from __future__ import annotations

import pytest

from codex_tui.base.errors import BadInput
from codex_tui.export.gguf import describe_fallbacks, estimate_bytes, name_file, parse_quants
from training.contract.gguf_messages import FLOAT_TYPES, QUANTS


def test_types_are_read_from_a_list() -> None:
    assert parse_quants("q4_k_m, Q8_0,f16,q8_0,") == ["q4_k_m", "q8_0", "f16"]
    assert parse_quants(",".join([*FLOAT_TYPES, *QUANTS])) == [*FLOAT_TYPES, *QUANTS]
    with pytest.raises(BadInput, match="There is no type 'q4'") as caught:
        parse_quants("f16,q4")
    assert "q4_k_m" in caught.value.hint
    with pytest.raises(BadInput, match="No type is named"):
        parse_quants(" ,")


def test_sizes_are_those_of_published_files() -> None:
    """Files of Llama 3.2 3B, 3.21 billion weights, in GB."""
    for quant, size in {"f16": 6.43, "q8_0": 3.42, "q6_k": 2.64, "q4_k_m": 2.02}.items():
        assert size < estimate_bytes(quant, 3_212_749_888) / 1e9 < size * 1.15


def test_names_and_remarks() -> None:
    assert name_file("guide", "q4_k_m") == "guide-Q4_K_M.gguf"
    assert describe_fallbacks({"quant": "q8_0", "fallbacks": 0, "tensors": 3}) == ""
    assert describe_fallbacks({"quant": "f16"}) == ""
    assert describe_fallbacks({"quant": "q4_k_m", "fallbacks": 2, "tensors": 3}).startswith("2 of 3 tensors keep more")
