from __future__ import annotations

from typing import Any

import pytest
from benchmarks.random_models import SHAPES

from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory.activations import compute_pass_bytes
from training.memory.model_shape import ModelShape

GEMMA_3 = ModelShape.from_config(SHAPES["gemma3-1b"])


def compute_mib(length: int, packing: str = "auto", eval_batch: int = 1, **training: Any) -> float:
    """Compute what the largest pass of Gemma 3 needs."""
    profile = Profile.model_validate(
        {
            "model": {"name": "gemma", "max_seq_length": length},
            "training": {"packing": packing, **training},
            "evaluation": {"per_device_eval_batch_size": eval_batch},
        }
    )
    return sum(compute_pass_bytes(profile, GEMMA_3)) / MIB


def compute_scores_mib(length: int) -> float:
    return 26 * length**2 * GEMMA_3.num_attention_heads / MIB


def test_packed_rows_of_gemma_3_take_memory_for_each_pair_of_tokens() -> None:
    for shorter, longer in ((1024, 2048), (2048, 4096)):
        scores = compute_scores_mib(longer) - compute_scores_mib(shorter)
        assert scores < compute_mib(longer) - compute_mib(shorter) < 1.2 * scores
    assert compute_mib(4096, "off") < compute_mib(4096) - 0.8 * compute_scores_mib(4096)


def test_the_scores_of_one_layer_count_without_checkpointing_too() -> None:
    packed, padded = (compute_mib(4096, packing, gradient_checkpointing=False) for packing in ("auto", "off"))
    assert packed - padded == pytest.approx(compute_scores_mib(4096))


def test_an_evaluation_of_larger_passes_takes_half_of_the_scores() -> None:
    """Four rows of 2,048 tokens have 16 times the pairs of the one row that is trained."""
    scores = compute_scores_mib(4 * 2048) / 2
    assert scores < compute_mib(2048, eval_batch=4) < 1.2 * scores
