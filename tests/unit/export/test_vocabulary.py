"""The vocabulary of a GGUF file against a tokenizer, with small ones in their places."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.contract.failures import TrainingFailure
from training.export.vocabulary import check_vocabulary, complete_end_tokens, list_configured_ends

TOKENS = ["<s>", "<end>", "a", "b", "<pad0>"]
ORDINARY, CONTROL = 1, 3
VALUES: dict[str, Any] = {
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [CONTROL, CONTROL, ORDINARY, ORDINARY, ORDINARY],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 1,
    "tokenizer.ggml.pre": "llama-bpe",
    "tokenizer.chat_template": "{{ messages }}",
}
TOKENIZER = SimpleNamespace(
    get_vocab=lambda: {"<s>": 0, "<end>": 1, "a": 2, "b": 3},  # fewer than the rows of the embedding
    added_tokens_decoder={0: SimpleNamespace(content="<s>"), 1: SimpleNamespace(content="<end>")},
    bos_token_id=0,
    chat_template="{{ messages }}",
)


def check(values: dict[str, Any], ends: set[int], rows: int = len(TOKENS)) -> str:
    tensor = SimpleNamespace(name="token_embd.weight", shape=[64, rows])

    def get_field(name: str) -> Any:
        value = values.get(name)
        return None if value is None else SimpleNamespace(contents=lambda: value)

    reader = SimpleNamespace(get_field=get_field, tensors=[tensor])
    return check_vocabulary(SimpleNamespace(GGUFReader=lambda path: reader), Path("a.gguf"), TOKENIZER, ends)


def test_the_same_vocabulary_is_accepted() -> None:
    assert check(VALUES, {1}) == "llama-bpe"
    without_template = VALUES | {"tokenizer.chat_template": None}
    with pytest.raises(TrainingFailure, match="its chat template is another text"):
        check(without_template, {1})


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"ggml.tokens": ["<s>", "<end>", "b", "a", "<pad0>"]}, "2 tokens have another text, such as 'a'"),
        ({"ggml.tokens": ["<s>", "</s>", "a", "b", "<pad0>"]}, "token 1 is '</s>', not '<end>'"),
        (
            {"ggml.tokens": TOKENS[:3]},
            "it has 3 tokens for 5 rows of the embedding; it has 3 tokens, and the tokenizer 4",
        ),
        ({"ggml.token_type": [CONTROL, *[ORDINARY] * 4]}, "'<end>' is an ordinary text in it, not a special token"),
        ({"ggml.bos_token_id": 2}, "its begin token is 2, not 0"),
        ({"ggml.eos_token_id": None}, "token 1 does not end an answer in it"),
        ({"ggml.eos_token_id": 3}, "token 1 does not end an answer in it"),
    ],
)
def test_each_difference_is_named(changed: dict[str, Any], problem: str) -> None:
    values = VALUES | {f"tokenizer.{name}": value for name, value in changed.items()}
    with pytest.raises(TrainingFailure) as caught:
        check(values, {1})
    assert caught.value.message == f"The GGUF file does not have the tokenizer of the run: {problem}."


def test_an_end_token_that_llama_cpp_knows_by_its_name_needs_no_entry() -> None:
    tokens = ["<s>", "<end>", "a", "b", "<|im_end|>"]
    assert check(VALUES | {"tokenizer.ggml.tokens": tokens}, {1, 4})


def test_all_tokens_that_end_an_answer_are_written() -> None:
    class Writer:
        def __init__(self, **values: int) -> None:
            self.kv_data = [{f"tokenizer.ggml.{k}_token_id": SimpleNamespace(value=v) for k, v in values.items()}]
            self.added: dict[str, int] = {}

        def __getattr__(self, name: str) -> Any:
            return lambda token: self.added.update({name.removeprefix("add_").removesuffix("_token_id"): token})

    for present, ends, added in (
        ({"eos": 1}, {1}, {}),
        ({"eos": 1}, {1, 4, 7}, {"eot": 4, "eom": 7}),
        ({"eos": 1, "eot": 4}, {1, 4, 7}, {"eom": 7}),
        ({}, {7}, {"eos": 7}),
    ):
        writer = Writer(**present)
        complete_end_tokens(writer, ends)
        assert writer.added == added


def test_the_end_tokens_come_from_the_generation_config(tmp_path: Path) -> None:
    assert list_configured_ends(tmp_path) == set()
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 2}))
    assert list_configured_ends(tmp_path) == {2}
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [4, 9]}))
    assert list_configured_ends(tmp_path) == {4, 9}
