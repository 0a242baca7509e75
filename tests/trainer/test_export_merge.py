"""Merging on tiny models: every kind of adapter, compared with PEFT bit for bit."""

from __future__ import annotations

from pathlib import Path

from support.training_runs import Trainer


def test_every_kind_of_adapter_is_merged_as_peft_merges_it(trainer: Trainer, tmp_path: Path) -> None:
    results = trainer.run_program("merging", "compare_with_peft", str(tmp_path))
    assert {kind: different for kind, (different, *_) in results.items()} == {kind: [] for kind in results}
    assert {kind: changed for kind, (_, changed, *_) in results.items()} == {
        "plain": 14, "rslora": 14, "patterns": 14, "some layers": 1, "bias": 28, "bias of lora": 28, "dora": 14,
        "modules to save": 16, "embedding": 4, "gpt2": 8, "gpt2 dora": 4,
    }  # fmt: skip
    assert all(changed == adapted for _, changed, adapted, _ in results.values())
    assert {dtype for *_, dtype in results.values()} == {"torch.bfloat16"}


def test_small_blocks_and_many_files_have_the_same_bits(trainer: Trainer, tmp_path: Path) -> None:
    different, counts = trainer.run_program("merging", "compare_blocks_and_shards", str(tmp_path))
    assert different == []
    assert min(counts) > 3


def test_a_base_that_ties_its_embeddings(trainer: Trainer, tmp_path: Path) -> None:
    """PEFT's own merge would change both embeddings. The run changed one, so the merged model has two."""
    results = trainer.run_program("merging", "compare_tied", str(tmp_path))
    assert len(results) == 5
    for kind, (distance, from_base, untied, has_head) in results.items():
        assert distance < 1e-4 < 0.1 < from_base, kind
        assert untied == has_head == (kind != "neither")


def test_four_bits_are_unpacked_as_they_were_trained_on(trainer: Trainer, tmp_path: Path) -> None:
    results = trainer.run_program("merging", "compare_four_bits", str(tmp_path))
    assert results["loaded"] == results["stored"] == [[], True, False, "torch.bfloat16"]
    assert results["original differs"]


def test_what_can_not_be_merged_is_refused_by_name(trainer: Trainer, tmp_path: Path) -> None:
    results = trainer.run_program("merging", "list_refusals", str(tmp_path))
    cant = "The adapter in …/spoiled can't be merged, because it has "
    assert results == {
        "good": "merged",
        "other method": f"{cant}peft_type = 'IA3'.",
        "unknown feature": f'{cant}use_magic = {{"r": 1}}.',
        "pissa": f"{cant}init_lora_weights = 'pissa_niter_4'.",
        "tied on purpose": f"{cant}ensure_weight_tying = true.",
        "replicated layers": f"{cant}layer_replication = [[0, 1]].",
        "bias": f"{cant}lora_bias = true.",
        "tokens": f"{cant}trainable_token_indices = [1, 2].",
        "half": "…/spoiled/adapter_model.safetensors has only one of the two matrices of model.layers.0.mlp.down_proj.",
        "wider base": "The adapter in …/spoiled does not fit model.layers.0.mlp.down_proj.weight, which has the shape "
        "[128, 256] in …/wider.",
        "shallow base": "The adapter in …/spoiled changes model.layers.1.mlp.down_proj.weight, which the files in "
        "…/shallow do not have.",
        "gptq": "The base model in …/gptq is quantised with gptq, which can't be merged.",
        "short file": "…/short/model.safetensors is damaged or no safetensors file.",
        "no model": "…/good is not a model: it has no config.json.",
    }
