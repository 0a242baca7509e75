"""Decodes with the loop that CUDA graphs need, on any device: a step is repeated instead of recorded."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from transformers import LlamaConfig, LlamaForCausalLM, TextStreamer

from training.demo import llama
from training.workers import decoding
from training.workers.decoding import GraphDecoder

PROMPTS = (5, 40, 3, 600)  # tokens; the last one needs more slots than the others
SAMPLING = ({"do_sample": False}, {"do_sample": True, "temperature": 0.9, "top_p": 0.8, "top_k": 0})


def build_model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=500, hidden_size=192, intermediate_size=256, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, initializer_range=0.3, max_position_embeddings=1024,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    return model.cuda() if torch.cuda.is_available() else model


def generate(
    model: Any, length: int, sampling: dict[str, Any], decoder: GraphDecoder | None, streamer: Any
) -> list[int]:
    ids = torch.arange(3, 3 + length, device=model.device)[None] % 500
    torch.manual_seed(1)
    loop = {} if decoder is None else {"custom_generate": decoder.decode_with(adapter=True, streamer=streamer)}
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, eos_token_id=[7], pad_token_id=0,
            streamer=streamer, **sampling, **loop,
        )  # fmt: skip
    return output[0, length:].tolist()


def collect_texts() -> tuple[Any, list[str]]:
    texts: list[str] = []

    class Streamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            texts.append(text)

    return Streamer(llama.build_tokenizer(), skip_prompt=True), texts


def compare_graphs_with_plain() -> list[Any]:
    """As `compare_with_plain`, with real graphs."""
    return compare_with_plain(GraphDecoder())


def compare_with_plain(decoder: GraphDecoder | None = None) -> list[Any]:
    """Whether each answer has the tokens and the text of the plain loop, how many tokens it has, and the failure."""
    model = build_model()
    decoder = decoder or GraphDecoder(record=lambda step: step)
    compared = []
    for length in PROMPTS:
        for sampling in SAMPLING:
            (plain_streamer, plain_texts), (streamer, texts) = collect_texts(), collect_texts()
            plain = generate(model, length, sampling, None, plain_streamer)
            tokens = generate(model, length, sampling, decoder, streamer)
            same_text = "".join(texts) == "".join(plain_texts)
            compared.append([tokens == plain, same_text, len(tokens), decoder.failure])
    return compared


def decode_wrong() -> list[Any]:
    """Whether the tokens are those of the plain loop although the attention of the steps is wrong, and the failure."""
    model, right = build_model(), decoding.attend
    decoder = GraphDecoder(record=lambda step: step)
    with patch.object(decoding, "attend", lambda *a, **k: (right(*a, **k)[0] * 1.5, None)):
        plain = generate(model, 5, SAMPLING[0], None, None)
        return [generate(model, 5, SAMPLING[0], decoder, None) == plain, decoder.failure]


def fail_to_record() -> list[Any]:
    """Whether the tokens are those of the plain loop although no graph can be recorded, and the failure."""

    def record(step: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model, decoder = build_model(), GraphDecoder(record=record)
    plain = generate(model, 5, SAMPLING[0], None, None)
    return [generate(model, 5, SAMPLING[0], decoder, None) == plain, decoder.failure]
