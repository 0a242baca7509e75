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
    "14b": {"model_type": "qwen2", "vocab_size": 152064, "hidden_size": 5120, "intermediate_size": 13824,
            "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8,
            "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
            "tie_word_embeddings": False},
    "gemma2-2b": {"model_type": "gemma2", "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216,
                  "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
                  "tie_word_embeddings": True},
    "gemma3-1b": {"model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912,
                  "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
                  "sliding_window": 512, "tie_word_embeddings": True},
    "qwen3-1.7b": {"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
                   "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
                   "max_position_embeddings": 40960, "tie_word_embeddings": True},
    "qwen3-4b": {"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728,
                 "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
                 "max_position_embeddings": 40960, "tie_word_embeddings": True},
    "mistral-7b": {"model_type": "mistral", "vocab_size": 32768, "hidden_size": 4096, "intermediate_size": 14336,
                   "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
                   "max_position_embeddings": 32768, "sliding_window": None, "tie_word_embeddings": False},
    # Unsloth publishes Phi 3 in the form of a Mistral.
    "phi3-mini": {"model_type": "mistral", "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
                  "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 96,
                  "max_position_embeddings": 4096, "sliding_window": None, "tie_word_embeddings": False},
    "smollm2-1.7b": {**LLAMA, "vocab_size": 49152, "hidden_size": 2048, "intermediate_size": 8192,
                     "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 64,
                     "max_position_embeddings": 8192, "tie_word_embeddings": True},
    "smollm2-360m": {**LLAMA, "vocab_size": 49152, "hidden_size": 960, "intermediate_size": 2560,
                     "num_hidden_layers": 32, "num_attention_heads": 15, "num_key_value_heads": 5, "head_dim": 64,
                     "max_position_embeddings": 8192, "tie_word_embeddings": True},
}  # fmt: skip


def write(shape: str, folder: Path) -> None:
    """Writes a model of `shape` with random bfloat16 weights, and the demo's tokenizer, to `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from training.demo.llama import build_tokenizer

    tokenizer = build_tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model(**{"model_type": "llama", **SHAPES[shape]}, **ids)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config)
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
