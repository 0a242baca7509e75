"""What is learned of conversations with each of the chat templates, beside the masks of Unsloth and TRL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.programs.chat_templates import STYLES, build_tokenizer
from training.contract.tables import Dataset
from training.dataset.records import Record
from training.dataset.shapes import Row, row_of
from training.job.tokens import RowEncoder

IGNORED = -100
Masked = tuple[list[int], list[int]]  # token ids and labels


def encode(path: str, learn: str = "all_answers") -> dict[str, list[Any]]:
    """For each style, the rows of the JSON at `path`: a list of [ids, labels], or the reason of a refusal."""
    raws = json.loads(Path(path).read_text())
    rows = [row_of(Record(0, line, raw)) for line, raw in enumerate(raws, 1)]
    found: dict[str, list[Any]] = {}
    for name, style in STYLES.items():
        encoder = RowEncoder(build_tokenizer(style), Dataset(learn=learn))
        found[name] = [
            row.refusal or [(sequence.input_ids, sequence.labels) for sequence in row.sequences]
            for row in encoder.encode(rows)
        ]
    return found


def compare(path: str) -> dict[str, list[Any]]:
    """`encode` beside the references: for each style, what differs as [row, ours, reference]; and how many rows were
    compared."""
    import unsloth  # noqa: F401  first: it patches the libraries
    from unsloth_zoo.dataset_utils import train_on_responses_only

    raws = json.loads(Path(path).read_text())
    rows = [row_of(Record(0, line, raw)) for line, raw in enumerate(raws, 1)]
    ours = encode(path)
    found: dict[str, list[Any]] = {}
    for name, style in STYLES.items():
        tokenizer = build_tokenizer(style)
        label = (
            None
            if name == "generation"
            else train_on_responses_only(None, style.question, style.answer, tokenizer=tokenizer, return_function=True)
        )
        differences, compared = [], 0
        for line, (row, mine) in enumerate(zip(rows, ours[name], strict=True)):
            if isinstance(mine, str) or (name == "mistral" and _is_beyond_markers(row)):
                continue
            compared += 1
            reference = _reference(name, tokenizer, row, label)
            if [list(masked) for masked in mine] != [list(masked) for masked in reference]:
                differences.append([line, _describe(tokenizer, mine), _describe(tokenizer, reference)])
        found[name] = [compared, differences]
    return found


def _is_beyond_markers(row: Row) -> bool:
    """Whether the Mistral-like template shows the row in a way that Unsloth's markers can't follow: it moves the system
    message and the tools with each question, and an answer after the result of a tool has no marker before it."""
    return bool(row.tools) or any(message["role"] in ("system", "tool") for message in row.messages)


def _reference(name: str, tokenizer: Any, row: Row, label: Any) -> list[Masked]:
    """The whole conversation with all of its answers; one sequence an answer where the template changes history."""
    assistants = [place for place, message in enumerate(row.messages) if message["role"] == "assistant"]
    ends = row.answers if name == "qwen-3" else [len(row.messages) - 1]
    sequences = []
    for end in ends:
        messages = row.messages[: end + 1]
        encoded = tokenizer.apply_chat_template(
            messages, tools=row.tools, return_dict=True, return_assistant_tokens_mask=name == "generation"
        )
        ids = list(encoded["input_ids"])
        if label is None:
            labels = [token if mask else IGNORED for token, mask in zip(ids, encoded["assistant_masks"], strict=True)]
        else:
            [labels] = label({"input_ids": [ids]})["labels"]
        spans = _spans(labels)
        learned = (end,) if name == "qwen-3" else row.answers
        assert len(spans) == sum(place <= end for place in assistants), tokenizer.decode(ids)
        for place, (first, last) in zip(assistants, spans, strict=False):
            if place not in learned:
                labels[first:last] = [IGNORED] * (last - first)
        sequences.append((ids, list(labels)))
    return sequences


def _spans(labels: list[int]) -> list[tuple[int, int]]:
    edges = [at for at in range(len(labels) + 1)
             if (at < len(labels) and labels[at] != IGNORED) != (at > 0 and labels[at - 1] != IGNORED)]  # fmt: skip
    return list(zip(edges[::2], edges[1::2], strict=True))


def _describe(tokenizer: Any, sequences: list[Any]) -> list[list[str]]:
    """The texts of the learned parts."""
    return [[tokenizer.decode(ids[first:last]) for first, last in _spans(labels)] for ids, labels in sequences]
