"""Models of a real one's shape with random weights: memory and speed are those of the real one, the loss means nothing.
Both functions need a GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

LLAMA = {"vocab_size": 128256, "num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
         "rope_theta": 500000.0}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "1b": {**LLAMA, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
           "num_attention_heads": 32, "head_dim": 64, "tie_word_embeddings": True},
    "3b": {**LLAMA, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
           "num_attention_heads": 24, "head_dim": 128, "tie_word_embeddings": True},
    "8b": {**LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
           "num_attention_heads": 32, "head_dim": 128, "tie_word_embeddings": False},
    "14b": {"vocab_size": 152064, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48,
            "num_attention_heads": 40, "num_key_value_heads": 8, "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": False},
}  # fmt: skip


def write(shape: str, folder: Path) -> None:
    """Writes a model of `shape` with random bfloat16 weights, and the demo's tokenizer, to `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    from training.demo.llama import build_tokenizer

    tokenizer = build_tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config, kind = (Qwen2Config, Qwen2ForCausalLM) if shape == "14b" else (LlamaConfig, LlamaForCausalLM)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = kind(config(**SHAPES[shape], **ids))
    model.save_pretrained(folder, max_shard_size="2GB")
    tokenizer.save_pretrained(folder)


def quantise(plain: Path, folder: Path) -> None:
    """Writes the model at `plain` in 4 bits to `folder`, as the published ones called bnb-4bit are stored."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    torch.cuda.empty_cache()
    quantisation = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                      bnb_4bit_compute_dtype=torch.bfloat16)  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        plain, dtype=torch.bfloat16, quantization_config=quantisation, device_map={"": 0}
    )
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(plain)
    tokenizer.save_pretrained(plain)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
