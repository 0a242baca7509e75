"""Merges adapters of every kind into tiny models, and compares the files with what PEFT makes in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from training.contract.failures import TrainingFailure
from training.demo.llama import build_tokenizer
from training.export import tensors
from training.export.adapter import Adapter
from training.export.base import Base
from training.export.merge import Merge
from training.export.model import write_model

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPE = {
    "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 1024, "max_position_embeddings": 128,
}  # fmt: skip

EQUAL: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", {}),
    "rslora": ("llama", {"use_rslora": True}),
    "patterns": (
        "llama",
        {
            "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 16},
            "alpha_pattern": {"q_proj": 40, "^model.layers.0.self_attn.v_proj": 1},
        },
    ),
    "some layers": ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1]}),
    "bias": ("llama", {"bias": "all"}),
    "bias of lora": ("llama", {"bias": "lora_only"}),
    "dora": ("llama", {"use_dora": True}),
    "modules to save": ("llama", {"modules_to_save": ["embed_tokens", "lm_head"]}),
    "embedding": ("llama", {"target_modules": ["embed_tokens", "lm_head", "q_proj"]}),
    "gpt2": ("gpt2", {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "gpt2 dora": ("gpt2", {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True, "use_dora": True}),
}
TIED: dict[str, dict[str, Any]] = {
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "saved embedding": {"modules_to_save": ["embed_tokens"]},
    "saved head": {"modules_to_save": ["lm_head"]},
    "both saved": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "neither": {},
}


def build(folder: Path, kind: str, dtype: torch.dtype = torch.bfloat16) -> Path:
    torch.manual_seed(1)
    model: Any
    if kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(n_embd=128, n_layer=2, n_head=4, vocab_size=1024, n_positions=128))
    else:
        tied, biased = kind == "tied", kind != "no bias"
        config = LlamaConfig(**SHAPE, tie_word_embeddings=tied, attention_bias=biased, mlp_bias=biased)
        model = LlamaForCausalLM(config)
    for parameter in model.parameters():  # a random model has biases of 0 and norms of 1
        parameter.data += torch.randn_like(parameter) * 0.02
    model.to(dtype).save_pretrained(folder)
    return folder


def add_adapter(base: Path, folder: Path, options: dict[str, Any]) -> Path:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"r": 8, "lora_alpha": 12, "target_modules": LINEAR, **options}
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    generator = torch.Generator().manual_seed(2)
    for parameter in peft.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.1
    peft.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


def merge(base: Path, adapter: Path, folder: Path, dtype: str = "bfloat16", load_in_4bit: bool = False) -> Merge:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    merge = Merge.plan(Base.open(base, dtype, "trained", load_in_4bit=load_in_4bit), Adapter.read(adapter))
    write_model(merge, "", folder, lambda done, total: None)
    return merge


def merge_with_peft(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).float()
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return {name: tensor.to(torch.bfloat16) for name, tensor in merged.state_dict().items()}


def load_merged(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def find_difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> list[str]:
    """The tensors that differ in a bit, and those that only one side has."""
    both = ours.keys() & theirs.keys()
    return sorted({name for name in both if not torch.equal(ours[name], theirs[name])} | (ours.keys() ^ theirs.keys()))


def compare_with_peft(folder: str) -> dict[str, Any]:
    """By kind of adapter: which tensors differ from PEFT's, and how many differ from the base's."""
    work = Path(folder)
    results = {}
    for kind, (model, options) in EQUAL.items():
        base = build(work / model, model)
        adapter = add_adapter(base, work / f"adapter-{kind}", options)
        done = merge(base, adapter, work / "merged")
        ours, theirs = load_merged(work / "merged"), merge_with_peft(base, adapter)
        if model == "gpt2":
            del theirs["lm_head.weight"]  # it is tied
        loaded = AutoModelForCausalLM.from_pretrained(work / "merged")
        if model == "gpt2":
            assert loaded.lm_head.weight.data_ptr() == loaded.transformer.wte.weight.data_ptr()
        changed = len(find_difference(ours, load_merged(base)))
        results[kind] = [find_difference(ours, theirs), changed, done.adapted, str(loaded.dtype)]
    return results


def compare_blocks_and_shards(folder: str) -> list[Any]:
    """Merge in small blocks and many files. What differs from one block and one file, and how many files there are."""
    work = Path(folder)
    base = build(work / "llama", "llama")
    different, counts = [], []
    for options in ({}, {"use_dora": True}, {"target_modules": ["embed_tokens", "q_proj"]}):
        adapter = add_adapter(base, work / "adapter", options)
        merge(base, adapter, work / "whole")
        whole = load_merged(work / "whole")
        kept = tensors.BLOCK_ELEMENTS, tensors.MAX_SHARD_BYTES
        tensors.BLOCK_ELEMENTS, tensors.MAX_SHARD_BYTES = 1000, 200_000
        merge(base, adapter, work / "parts")
        tensors.BLOCK_ELEMENTS, tensors.MAX_SHARD_BYTES = kept
        loaded = AutoModelForCausalLM.from_pretrained(work / "parts", dtype=torch.bfloat16).state_dict()
        different += find_difference(load_merged(work / "parts"), whole) + find_difference(dict(loaded), whole)
        counts.append(len(list((work / "parts").glob("*.safetensors"))))
    return [different, counts]


def compare_tied(folder: str) -> dict[str, Any]:
    """By kind of adapter over a base that ties its embeddings: how far the logits of the merged model are from those of
    the base with its adapter, how far those of the base are, and whether the merged model has two embeddings."""
    work = Path(folder)
    base = build(work / "tied", "tied", torch.float32)
    ids = torch.arange(40).reshape(2, 20)
    results = {}
    for kind, options in TIED.items():
        adapter = add_adapter(base, work / f"adapter-{kind}", options)
        done = merge(base, adapter, work / "merged", dtype="float32")
        with torch.inference_mode():
            plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            before = plain(ids).logits
            expected = PeftModel.from_pretrained(plain, adapter).eval()(ids).logits
            merged = AutoModelForCausalLM.from_pretrained(work / "merged", dtype=torch.float32).eval()
            ours = merged(ids).logits
        distances = [float((ours - other).abs().max()) for other in (expected, before)]
        results[kind] = [*distances, done.untied, "lm_head.weight" in load_merged(work / "merged")]
    return results


def compare_four_bits(folder: str) -> dict[str, Any]:
    """Merge over 4-bit weights: those that transformers makes when it loads, and those of a repository. Which tensors
    differ from the weights that transformers unpacks plus PEFT's adapter."""
    work = Path(folder)
    base = build(work / "plain", "no bias")
    adapter = add_adapter(base, work / "adapter", {})
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, quantization_config=settings)
    model.save_pretrained(work / "bnb-4bit")
    unpacked = unpack(model)
    lora = PeftModel.from_pretrained(unpacked.float(), adapter).merge_and_unload()
    theirs = {name: tensor.to(torch.bfloat16) for name, tensor in lora.state_dict().items()}
    results: dict[str, Any] = {}
    for name, place, in_4bit in (("loaded", base, True), ("stored", work / "bnb-4bit", True)):
        done = merge(place, adapter, work / "merged", load_in_4bit=in_4bit)
        config = json.loads((work / "merged" / "config.json").read_text())
        results[name] = [
            find_difference(load_merged(work / "merged"), theirs),
            done.base.has_four_bits,
            "quantization_config" in config,
            str(AutoModelForCausalLM.from_pretrained(work / "merged").dtype),
        ]
    merge(base, adapter, work / "merged")
    results["original differs"] = len(find_difference(load_merged(work / "merged"), theirs)) > 0
    return results


def unpack(model: Any) -> Any:
    """Replace the 4-bit layers of `model` by plain ones."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if isinstance(module, bnb.nn.Linear4bit):
            weight = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=False, dtype=weight.dtype)
            plain.weight.data = weight.reshape(plain.weight.shape)
            model.set_submodule(name, plain)
    plain = LlamaForCausalLM(model.config)
    plain.load_state_dict(model.state_dict())
    return plain


def list_refusals(folder: str) -> dict[str, str]:
    """By what is wrong: the message."""
    work = Path(folder)
    base = build(work / "llama", "no bias")
    good = add_adapter(base, work / "good", {})

    def refuse(change: Callable[[dict[str, Any]], Any] | None = None, on: Path = base, adapter: Path = good) -> str:
        spoiled = work / "spoiled"
        shutil.rmtree(spoiled, ignore_errors=True)
        shutil.copytree(adapter, spoiled)
        path = spoiled / "adapter_config.json"
        values = json.loads(path.read_text())
        if change:
            change(values)
        path.write_text(json.dumps(values))
        try:
            merge(on, spoiled, work / "merged")
        except TrainingFailure as failure:
            return failure.message.replace(str(work), "…")
        return "merged"

    wider = work / "wider"
    LlamaForCausalLM(LlamaConfig(**SHAPE | {"intermediate_size": 256})).save_pretrained(wider)
    shallow = work / "shallow"
    LlamaForCausalLM(LlamaConfig(**SHAPE | {"num_hidden_layers": 1})).save_pretrained(shallow)
    gptq = work / "gptq"
    shutil.copytree(base, gptq)
    config = json.loads((gptq / "config.json").read_text())
    (gptq / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    short = work / "short"
    shutil.copytree(base, short)
    with (short / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    bias = add_adapter(build(work / "biased", "llama"), work / "bias", {"lora_bias": True})
    tokens = add_adapter(base, work / "tokens", {"trainable_token_indices": [1, 2]})
    half = work / "half"
    shutil.copytree(good, half)
    from safetensors.torch import save_file

    kept = {name: tensor for name, tensor in load_file(half / "adapter_model.safetensors").items() if "lora_A" in name}
    save_file(kept, half / "adapter_model.safetensors")
    return {
        "good": refuse(),
        "other method": refuse(lambda values: values.update(peft_type="IA3")),
        "unknown feature": refuse(lambda values: values.update(use_magic={"r": 1})),
        "pissa": refuse(lambda values: values.update(init_lora_weights="pissa_niter_4")),
        "tied on purpose": refuse(lambda values: values.update(ensure_weight_tying=True)),
        "replicated layers": refuse(lambda values: values.update(layer_replication=[[0, 1]])),
        "bias": refuse(adapter=bias, on=work / "biased"),
        "tokens": refuse(adapter=tokens),
        "half": refuse(adapter=half),
        "wider base": refuse(on=wider),
        "shallow base": refuse(on=shallow),
        "gptq": refuse(on=gptq),
        "short file": refuse(on=short),
        "no model": refuse(on=good),
    }
