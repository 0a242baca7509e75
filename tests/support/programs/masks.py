"""What is learned of conversations with each of the chat templates, beside the masks of Unsloth and TRL."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.programs.chat_templates import BUILDERS, STYLES, build_tokenizer
from training.contract.dataset_table import Dataset
from training.contract.inspect_messages import ShowRow, StatsReady
from training.dataset import lengths
from training.dataset.records import Record
from training.dataset.shapes import Row, read_row
from training.demo import llama
from training.job.job import read_job
from training.job.tokens import IGNORED, Encoded, RowEncoder
from training.workers.inspect import RowInspector

Masked = tuple[list[int], list[int]]  # token ids and labels


def compare(path: str) -> dict[str, list[Any]]:
    """The rows of the JSON at `path` beside the references, for each style and kind of tokenizer: how many rows were
    compared, and what differs as [row, ours, reference]."""
    import unsloth  # noqa: F401  first: it patches the libraries
    from unsloth_zoo.dataset_utils import train_on_responses_only

    rows = _read(path)
    found: dict[str, list[Any]] = {}
    for (name, style), (kind, build) in itertools.product(STYLES.items(), BUILDERS.items()):
        if name == "endless":  # its markers are words, which Unsloth does not find among other words
            continue
        tokenizer = build(style)
        if name == "generation" and not tokenizer.is_fast:  # TRL's mask needs the characters of each token
            continue
        label = (
            None
            if name == "generation"
            else train_on_responses_only(None, style.question, style.answer, tokenizer=tokenizer, return_function=True)
        )
        differences, compared = [], 0
        for line, (row, mine) in enumerate(zip(rows, RowEncoder(tokenizer, Dataset()).encode(rows), strict=True)):
            if mine.refusal or (name == "mistral" and _is_beyond_markers(row)):
                continue
            compared += 1
            ours = [(sequence.input_ids, sequence.labels) for sequence in mine.sequences]
            reference = _reference(name, tokenizer, row, label)
            if ours != reference:
                differences.append([line, _describe(tokenizer, ours), _describe(tokenizer, reference)])
        found[f"{name} {kind}".strip()] = [compared, differences]
    return found


def encode_texts() -> dict[str, list[str]]:
    """For each kind of tokenizer: a text without the tokens for begin and end, and one with them, encoded; without
    what encloses each, which must be there once."""
    style = STYLES["llama-3"]
    begin, end, *_ = style.special
    found: dict[str, list[str]] = {}
    for kind, build in BUILDERS.items():
        tokenizer = build(style)
        adds_begin = kind == "with BOS"
        rows = [read_row(Record(0, 1, {"text": text})) for text in ("Hi", f"{begin}Hi{end}")]
        found[kind] = []
        for row, has_begin in zip(RowEncoder(tokenizer, Dataset()).encode(rows), (adds_begin, True), strict=True):
            [sequence] = row.sequences
            ids = sequence.input_ids
            assert ids.count(tokenizer.bos_token_id) == has_begin
            assert ids[-1] == tokenizer.eos_token_id
            assert ids.count(tokenizer.eos_token_id) == 1
            found[kind].append(tokenizer.decode(ids[has_begin:-1]))
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


def describe(path: str) -> dict[str, list[dict[str, Any]]]:
    """What each style makes of the rows of the JSON at `path`: refusals, texts, and the learned parts of each text."""
    rows = _read(path)
    found = {}
    for name, style in STYLES.items():
        tokenizer = build_tokenizer(style)
        found[name] = [
            {
                "refusal": row.refusal,
                "faults": asdict(row.faults),
                "texts": [tokenizer.decode(sequence.input_ids) for sequence in row.sequences],
                "learned": [
                    [tokenizer.decode(sequence.input_ids[start:end]) for start, end in sequence.spans]
                    for sequence in row.sequences
                ],
            }
            for row in RowEncoder(tokenizer, Dataset()).encode(rows)
        ]
    return found


def find_violations(path: str, learn: str) -> tuple[dict[str, int], list[Any]]:
    """Check that each answer is learned once, in a sequence that shows before it what the model sees before it answers.

    Returns how many answers were checked of each style, and what is wrong.
    """
    rows, checked, wrong = _read(path), dict.fromkeys(STYLES, 0), []
    for name, style in STYLES.items():
        tokenizer = build_tokenizer(style)
        encoded = RowEncoder(tokenizer, Dataset(learn=learn)).encode(rows)
        for row, result in zip(rows, encoded, strict=True):
            if result.refusal:
                continue
            answers = row.answers if learn == "all_answers" else row.answers[-1:]
            spans = [(sequence.input_ids, *span) for sequence in result.sequences for span in sequence.spans]
            if len(spans) != len(answers):
                wrong.append([name, row.raw, len(spans), len(answers)])
            for place in answers:
                checked[name] += 1
                before, after = _render_apart(tokenizer, row, place)
                texts = [(tokenizer.decode(ids[:start]), tokenizer.decode(ids[start:end])) for ids, start, end in spans]
                expected = (_decode(tokenizer, before), _decode(tokenizer, after))
                if sum(_is_alike(found, expected) for found in texts) != 1:
                    wrong.append([name, row.raw, expected, texts])
    return checked, wrong[:3]


def _render_apart(tokenizer: Any, row: Row, place: int) -> tuple[str, str]:
    """The text before the answer at `place`, as the model sees it when it answers, and the text of the answer."""
    prompt = tokenizer.apply_chat_template(row.messages[:place], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(row.messages[: place + 1], tokenize=False)
    prompt = prompt.removesuffix("<think>\n")  # R1 takes the reasoning out of all answers
    header = prompt[-8:]
    answer = whole[len(prompt) :] if whole.startswith(prompt) else whole[whole.rindex(header) + len(header) :]
    return prompt, answer


def _decode(tokenizer: Any, text: str) -> str:
    """The text as it comes back from its tokens: a small tokenizer does not know all characters."""
    decoded: str = tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"])
    return decoded


def _is_alike(found: tuple[str, str], expected: tuple[str, str]) -> bool:
    """A space between the two may belong to either, and the line after the end of a turn is not learned."""
    return all(a.strip() == b.strip().removesuffix("<|endoftext|>").strip() or a.strip() == b.strip()
               for a, b in zip(found, expected, strict=True))  # fmt: skip


def build_model(style: str, folder: str) -> str:
    """Build the demo's model in `folder`, with the tokenizer of `style`."""
    return _copy_demo_model(folder, build_tokenizer(STYLES[style]))


def of_worker(path: str) -> dict[str, Any]:
    """What the inspect worker says of the run at `path`: ids and labels after the cut, by split; and all lengths."""
    job = read_job(Path(path))
    sent: list[Any] = []
    pipe = SimpleNamespace(send=sent.append)
    inspector = RowInspector(job, pipe)
    ready = inspector.prepare()
    found: dict[str, Any] = {"train": [], "eval": [], "dropped": [], "bad": [], "rows": []}
    limit = job.profile.model.max_seq_length
    for index in range(ready.rows):
        row = inspector.render(ShowRow(index=index, ids=True))
        if row.split != "bad":
            found["rows"].append([[sequence.tokens, sequence.spans] for sequence in row.sequences])
        for sequence in row.sequences:
            ids = [token for token, _ in sequence.ids]
            encoded = Encoded(ids, tuple(sequence.spans)).cut(limit)
            if encoded.spans:
                found[row.split].append([encoded.input_ids, encoded.labels])
    inspector.start()
    inspector.begin("tokenise")
    while not any(isinstance(message, StatsReady) for message in sent):
        time.sleep(0.01)
    [ready_stats] = [message for message in sent if isinstance(message, StatsReady)]
    counted = lengths.load(Path(ready_stats.lengths))
    assert counted is not None
    found["lengths"] = [counted.list_sequences(row) for row in range(counted.rows) if counted.sequences[row]]
    return found


def _read(path: str) -> list[Row]:
    return [read_row(Record(0, line, raw)) for line, raw in enumerate(json.loads(Path(path).read_text()), 1)]


def build_base_model(folder: str) -> str:
    """Build the demo's model in `folder`, without a chat template."""
    tokenizer = llama.build_tokenizer()
    tokenizer.chat_template = None
    return _copy_demo_model(folder, tokenizer)


def _copy_demo_model(folder: str, tokenizer: Any) -> str:
    """Build the demo's model in `folder`, with `tokenizer` in place of its own."""
    shutil.copytree(llama.build(Path("cache")), folder)
    (Path(folder) / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    return folder


def list_unsloth_templates() -> list[str]:
    """The names that Unsloth knows."""
    import unsloth  # noqa: F401  before its parts
    from unsloth.chat_templates import CHAT_TEMPLATES

    return sorted(CHAT_TEMPLATES)
