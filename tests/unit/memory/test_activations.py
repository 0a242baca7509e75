from __future__ import annotations

from benchmarks.random_models import SHAPES

from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory.activations import compute_pass_bytes
from training.memory.model_shape import ModelShape


def test_packed_rows_of_gemma_3_take_memory_for_each_pair_of_tokens() -> None:
    shape = ModelShape.from_config(SHAPES["gemma3-1b"])

    def compute_mib(length: int, packing: str) -> float:
        profile = Profile.model_validate(
            {"model": {"name": "gemma", "max_seq_length": length}, "training": {"packing": packing}}
        )
        return sum(compute_pass_bytes(profile, shape)) / MIB

    def compute_scores_mib(length: int) -> float:
        return 26 * length**2 * shape.num_attention_heads / MIB

    for shorter, longer in ((1024, 2048), (2048, 4096)):
        scores = compute_scores_mib(longer) - compute_scores_mib(shorter)
        assert scores < compute_mib(longer, "auto") - compute_mib(shorter, "auto") < 1.2 * scores
    assert compute_mib(4096, "off") < compute_mib(4096, "auto") - 0.8 * compute_scores_mib(4096)
