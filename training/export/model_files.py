"""The files of a merged model beside its weights: configuration, tokenizer with the run's chat template, licence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from training.contract import files
from training.contract.failures import TrainingFailure
from training.contract.model_files import LICENCE_FILES, TOKENIZER_FILES

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
FAST, TEMPLATE = "tokenizer.json", "chat_template.jinja"
MAX_JSON_BYTES = 128 * 2**20  # of tokenizer.json, with a large vocabulary


def write_json(path: Path, values: Any) -> None:
    files.write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_config(folder: Path, base: dict[str, Any], dtype: str, *, untied: bool, vocabulary: int | None) -> None:
    """Write the base's config.json for weights in `dtype`. `vocabulary` is the new number of rows of the embedding."""
    config = {key: value for key, value in base.items() if key not in ("quantization_config", "dtype", "_name_or_path")}
    config["torch_dtype"] = dtype  # each version of transformers, vLLM and llama.cpp knows this name
    tables = [config]
    if isinstance(inner := config.get("text_config"), dict):
        config["text_config"] = {key: value for key, value in inner.items() if key not in ("dtype", "torch_dtype")}
        tables.append(config["text_config"])
    for table in tables:
        if untied:
            table["tie_word_embeddings"] = False
        if vocabulary is not None and "vocab_size" in table:
            table["vocab_size"] = vocabulary
    write_json(folder / CONFIG, config)


def copy_tokenizer(source: Path, folder: Path, template: str) -> None:
    """Copy the tokenizer of the adapter in `source`. `template` is the text of the run's own chat template, "" if it
    has none: it is written if the tokenizer has no template. Raises TrainingFailure, OSError."""
    for path in _find_files(source, TOKENIZER_FILES):
        target = folder / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    if not (folder / TOKENIZER).is_file():
        raise TrainingFailure(
            "model_not_found",
            f"{source} has no {TOKENIZER}, so the merged model would have no tokenizer.",
            "Train the adapter again, or copy the tokenizer of its base model there.",
        )
    if template and not (folder / TEMPLATE).exists() and not read_json(folder / TOKENIZER).get("chat_template"):
        (folder / TEMPLATE).write_text(template, encoding="utf-8")


def write_generation_config(folder: Path, base: Path, config: dict[str, Any]) -> None:
    """Write the base's generation_config.json. It ends an answer also at the end token of the run's tokenizer, which a
    chat template may have changed: without it, no answer would end."""
    values = read_json(base / GENERATION) if (base / GENERATION).is_file() else {}
    values.pop("_from_model_config", None)
    ends = values.get("eos_token_id", config.get("eos_token_id"))
    tokens = [token for token in (ends if isinstance(ends, list) else [ends]) if isinstance(token, int)]
    own = _find_end_token(folder)
    tokens = list(dict.fromkeys([*([own] if own is not None else []), *tokens]))
    if tokens:
        values["eos_token_id"] = tokens if len(tokens) > 1 else tokens[0]
    for name in ("bos_token_id", "pad_token_id"):
        if name not in values and isinstance(config.get(name), int):
            values[name] = config[name]
    write_json(folder / GENERATION, values)


def _find_end_token(folder: Path) -> int | None:
    """Return the id of the end token of the tokenizer in `folder`. Reads its files, because the libraries need hundreds
    of megabytes for that."""
    token = _read_content(read_json(folder / TOKENIZER).get("eos_token"))
    for number, added in _list_added_tokens(folder):
        if token is not None and _read_content(added) == token:
            return number
    if token is None or (folder / FAST).is_file():
        return None
    from transformers import AutoTokenizer

    slow: int | None = AutoTokenizer.from_pretrained(folder, trust_remote_code=False).eos_token_id
    return slow


def _read_content(token: Any) -> str | None:
    """Return the text of a token, which the files have as a text or as a table."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _list_added_tokens(folder: Path) -> Iterator[tuple[int, Any]]:
    if (folder / FAST).is_file():
        added = read_json(folder / FAST).get("added_tokens")
        for token in added if isinstance(added, list) else []:
            if isinstance(token, dict) and isinstance(token.get("id"), int):
                yield token["id"], token


def copy_licences(base: Path, folder: Path) -> None:
    for path in _find_files(base, LICENCE_FILES):
        shutil.copyfile(path, folder / path.name)


def _find_files(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.is_file() and any(fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in patterns):
            yield path


def read_json(path: Path) -> dict[str, Any]:
    """Raises TrainingFailure."""
    try:
        values = json.loads(files.read(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise TrainingFailure("model_not_found", f"{path} is damaged.")
    return values
