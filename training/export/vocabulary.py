"""Compares the vocabulary in a GGUF file with the run's tokenizer: tokens, special tokens and chat template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.contract.failures import TrainingFailure

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTROL, USER_DEFINED = 3, 4  # of llama.cpp's token types: those that are found in a text before it is split
END_KEYS = ("eos", "eot", "eom")
# llama.cpp ends an answer at a token with one of these names, whatever the file says.
KNOWN_ENDS = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>",
}  # fmt: skip


def list_configured_ends(model: Path) -> set[int]:
    """List the tokens that end an answer by the model's generation_config.json, or else by its config.json."""
    for name in ("generation_config.json", "config.json"):
        try:
            ends = json.loads((model / name).read_bytes()).get("eos_token_id")
        except (OSError, ValueError):
            continue
        if ends is not None:
            return set(ends) if isinstance(ends, list) else {ends}
    return set()


def complete_end_tokens(writer: Any, ends: set[int]) -> None:
    """Name the tokens that end an answer in the file that `writer` is about to write. The converter names one of them,
    and without the others an answer would not end there."""
    values = writer.kv_data[0]
    keys = {name: f"tokenizer.ggml.{name}_token_id" for name in END_KEYS}
    left = sorted(ends - {values[key].value for key in keys.values() if key in values})
    for name, key in keys.items():
        if left and key not in values:
            getattr(writer, f"add_{name}_token_id")(left.pop(0))


def check_vocabulary(gguf: Any, path: Path, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> str:
    """Compare the vocabulary in the file `path` with `tokenizer`, and return the name of the file's pre-tokenizer.
    `ends` are the tokens that must end an answer. Raises TrainingFailure with everything that differs."""
    reader = gguf.GGUFReader(path)

    def read(name: str) -> Any:
        field = reader.get_field(f"tokenizer.{name}")
        return None if field is None else field.contents()

    tokens, types = read("ggml.tokens") or [], read("ggml.token_type") or []
    problems = [*_compare_tokens(reader, tokens, types, tokenizer), *_compare_ends(read, tokens, ends)]
    bos = read("ggml.bos_token_id")
    if tokenizer.bos_token_id is not None and bos != tokenizer.bos_token_id:
        problems.append(f"its begin token is {bos}, not {tokenizer.bos_token_id}")
    if read("chat_template") != tokenizer.chat_template:
        problems.append("its chat template is another text")
    if problems:
        raise TrainingFailure(
            "unknown",
            f"The GGUF file does not have the tokenizer of the run: {'; '.join(problems)}.",
            "The file was not kept. A newer llama.cpp may convert this model: codex-tui config llama_cpp.path FOLDER",
        )
    return read("ggml.pre") or ""


def _compare_tokens(
    reader: Any, tokens: list[str], types: list[int], tokenizer: PreTrainedTokenizerBase
) -> Iterable[str]:
    rows = next((int(tensor.shape[1]) for tensor in reader.tensors if tensor.name == "token_embd.weight"), None)
    if rows != len(tokens):
        yield f"it has {len(tokens):,} tokens for {rows or 0:,} rows of the embedding"
    vocabulary = tokenizer.get_vocab()
    if len(vocabulary) > len(tokens):
        yield f"it has {len(tokens):,} tokens, and the tokenizer {len(vocabulary):,}"
        return
    added = tokenizer.added_tokens_decoder
    other = [token for token, number in vocabulary.items() if number not in added and tokens[number] != token]
    if other:
        yield f"{len(other):,} tokens have another text, such as {other[0]!r}"
    for number, token in added.items():
        if tokens[number] != token.content:
            yield f"token {number} is {tokens[number]!r}, not {token.content!r}"
        elif types[number] not in (CONTROL, USER_DEFINED):
            yield f"{token.content!r} is an ordinary text in it, not a special token"


def _compare_ends(read: Any, tokens: list[str], ends: set[int]) -> Iterable[str]:
    named = {read(f"ggml.{name}_token_id") for name in END_KEYS}
    for number in sorted(ends - named):
        if number >= len(tokens) or tokens[number] not in KNOWN_ENDS:
            yield f"token {number} does not end an answer in it"
