"""Builds the demo model: a Llama with half a million random parameters and its own tokenizer. This takes seconds.

Only its size is unusual, so the demo runs the same code as a 3B model. If its folder is missing, it is built again from
the same seed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from training.contract.failures import name_full_disk, name_large_file
from training.dataset.rows import read
from training.dataset.source import DEMO_DATASET, DEMO_FILE, local

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NAME = "demo:llama"
SEED = 3407
VOCABULARY = 1024
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
BEGIN, END, PAD = "<|begin_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"
SPECIAL_TOKENS = [BEGIN, "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", END, PAD]
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n{{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on the shipped sample, with Llama 3's special tokens and chat format."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    texts = [m["content"] for row in read(local(DEMO_DATASET)).rows for m in row.messages]
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=BEGIN, eos_token=END, pad_token=PAD)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build(cache: Path) -> Path:
    """Return the demo model's folder under `cache`. If it is missing, it is built aside and renamed."""
    folder = cache / f"demo-llama-{_fingerprint()}"
    if folder.is_dir():
        return folder
    with name_full_disk(folder):
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".demo-llama-"))
        try:
            with name_large_file(temporary, folder, "model.safetensors"):
                _write(temporary)
            try:
                temporary.rename(folder)
            except OSError:
                if not folder.is_dir():  # if it exists now, another run has just built the same model
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    with torch.random.fork_rng(devices=[]):  # building must not change the run's own random state
        torch.manual_seed(SEED)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _fingerprint() -> str:
    """Compute a key that changes with everything the files depend on: the sample, this module and the libraries."""
    parts = [DEMO_FILE.read_bytes(), Path(__file__).read_bytes()]
    parts += [version(package).encode() for package in ("torch", "transformers", "tokenizers")]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
