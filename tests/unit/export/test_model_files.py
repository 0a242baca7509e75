"""The files of a merged model beside its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.contract.failures import TrainingFailure
from training.export.model_files import copy_licences, copy_tokenizer, write_config, write_generation_config

ADDED = [{"id": 7, "content": "<|im_end|>", "special": True}, {"id": 8, "content": "</s>", "special": True}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "merged").mkdir()
    return tmp_path / "merged"


def write_tokenizer(folder: Path, eos: Any = "<|im_end|>", **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos, **config}))
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": ADDED}))
    return folder


def read_ends(folder: Path) -> Any:
    return json.loads((folder / "generation_config.json").read_text()).get("eos_token_id")


@pytest.mark.parametrize(
    ("eos", "base", "config", "ends"),
    [
        ("<|im_end|>", {"eos_token_id": 8}, {}, [7, 8]),  # a chat template has chosen another end than the base
        ({"content": "<|im_end|>", "special": True}, {"eos_token_id": [8, 7]}, {}, [7, 8]),
        ("</s>", {"eos_token_id": 8}, {}, 8),
        ("</s>", None, {"eos_token_id": 8}, 8),
        ("<|im_end|>", None, {"eos_token_id": [8, 9]}, [7, 8, 9]),
        ("<|im_end|>", None, {}, 7),
        (None, None, {"eos_token_id": 3}, 3),
        ("<unknown>", None, {"eos_token_id": 3}, 3),
        (None, None, {"eos_token_id": "</s>"}, None),
    ],
)
def test_an_answer_ends_at_the_end_token_of_the_run_too(
    folder: Path, tmp_path: Path, eos: Any, base: dict[str, Any] | None, config: dict[str, Any], ends: Any
) -> None:
    write_tokenizer(folder, eos)
    (tmp_path / "base").mkdir()
    if base is not None:
        values = json.dumps({"temperature": 0.6, "_from_model_config": True, **base})
        (tmp_path / "base" / "generation_config.json").write_text(values)
    write_generation_config(folder, tmp_path / "base", config | {"pad_token_id": 0})
    assert read_ends(folder) == ends
    written = json.loads((folder / "generation_config.json").read_text())
    assert written["pad_token_id"] == 0
    assert written.get("temperature") == (0.6 if base is not None else None)
    assert "_from_model_config" not in written


def test_the_tokenizer_of_the_adapter_and_nothing_else_of_it(folder: Path, tmp_path: Path) -> None:
    adapter = write_tokenizer(tmp_path / "adapter")
    (adapter / "chat_template.jinja").write_text("of the tokenizer")
    (adapter / "additional_chat_templates").mkdir()
    (adapter / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    for name in ("adapter_model.safetensors", "adapter_config.json", "README.md", "training_args.bin"):
        (adapter / name).write_text("not this")
    copy_tokenizer(adapter, folder, "of the run")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja",
    }  # fmt: skip
    assert (folder / "chat_template.jinja").read_text() == "of the tokenizer"


def test_the_template_that_the_run_keeps_is_not_lost(folder: Path, tmp_path: Path) -> None:
    copy_tokenizer(write_tokenizer(tmp_path / "adapter"), folder, "of the run")
    assert (folder / "chat_template.jinja").read_text() == "of the run"
    (tmp_path / "second").mkdir()
    inside = write_tokenizer(tmp_path / "adapter", chat_template="in the configuration")
    copy_tokenizer(inside, tmp_path / "second", "of the run")
    assert not (tmp_path / "second" / "chat_template.jinja").exists()


def test_without_a_tokenizer_nothing_is_exported(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    with pytest.raises(TrainingFailure, match=r"has no tokenizer_config.json, so the merged model would have no"):
        copy_tokenizer(tmp_path / "adapter", folder, "")


def test_the_configuration(folder: Path) -> None:
    text = {"vocab_size": 100, "tie_word_embeddings": True, "dtype": "float32"}
    base = {
        "model_type": "gemma3", "dtype": "float32", "quantization_config": {"load_in_4bit": True},
        "_name_or_path": "/me", "tie_word_embeddings": True, "text_config": text,
    }  # fmt: skip
    write_config(folder, base, "bfloat16", untied=True, vocabulary=104)
    assert json.loads((folder / "config.json").read_text()) == {
        "model_type": "gemma3", "torch_dtype": "bfloat16", "tie_word_embeddings": False,
        "text_config": {"vocab_size": 104, "tie_word_embeddings": False},
    }  # fmt: skip
    assert text["vocab_size"] == 100
    write_config(folder, base, "float16", untied=False, vocabulary=None)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"]


def test_the_licence_of_the_base(folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for name in ("LICENSE.txt", "NOTICE", "USE_POLICY.md", "README.md"):
        (base / name).write_text(name)
    copy_licences(base, folder)
    assert {path.name for path in folder.iterdir()} == {"LICENSE.txt", "NOTICE", "USE_POLICY.md"}
