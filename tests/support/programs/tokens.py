"""Rows turned into tokens by the trainer's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.contract.dataset_table import Dataset
from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.dataset.records import Record
from training.dataset.rows import read
from training.dataset.shapes import Row, read_row
from training.dataset.source import local
from training.demo.llama import build_tokenizer
from training.job.examples import Examples, tokenise
from training.job.tokens import RowEncoder

REFUSING = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"


def decode(path: str) -> dict[str, Any]:
    """[line, text of the prompt, text of the answer] of each row, and the lines of the bad rows."""
    tokenizer = build_tokenizer()
    texts = []
    rows = read(local(path))
    for row, found in zip(rows.rows, RowEncoder(tokenizer, Dataset()).encode(rows.rows), strict=True):
        [encoded] = found.sequences
        [(start, end)] = encoded.spans
        assert end == len(encoded.input_ids)
        if row.text is not None:
            assert start == 1  # nothing comes before the first token; it may be a part of a character
            start = 0
        halves = encoded.input_ids[:start], encoded.input_ids[start:]
        texts.append([row.line, *(tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in halves)])
    return {"rows": texts, "bad": [problem.line for problem in rows.problems]}


def refuse_system_messages() -> list[Any]:
    """[[training rows, dropped rows, refused rows] if those are skipped, the failure if they are not]."""
    tokenizer = build_tokenizer()
    tokenizer.chat_template = REFUSING + ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    rows = [
        read_row(Record(0, line, {"instruction": "Who?", "response": "Rook.", "system": system}))
        for line, system in enumerate(("", "Be brief.", ""), 1)
    ]

    def tokenised(*, skip: bool) -> list[Any]:
        profile = Profile.model_validate(
            {"model": {"name": "-", "max_seq_length": 64}, "dataset": {"on_bad_rows": "skip" if skip else "refuse"}}
        )
        examples = tokenise(rows, tokenizer, profile, eval_rows=set(), progress=lambda done, detail: None)
        return [len(examples.train), examples.dropped, list(examples.refused.values())]

    try:
        tokenised(skip=False)
    except TrainingFailure as failure:
        return [tokenised(skip=True), failure.message]
    raise AssertionError("no row was refused")


def choose_question() -> list[Any]:
    """[the question, its tools, the reference] that is asked at an evaluation if the first row is refused."""
    from training.finetune.samples import choose_questions

    call = {"function": {"name": "find", "arguments": '{"who": "Rook"}'}}
    raws: list[dict[str, Any]] = [
        {"instruction": "Who?", "response": "Rook.", "system": "Be brief."},
        {
            "messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "tool_calls": [call]}],
            "tools": [{"name": "find"}],
        },
    ]
    rows = [read_row(Record(0, line, raw)) for line, raw in enumerate(raws, 1)]
    profile = Profile.model_validate({"model": {"name": "-"}, "dataset": {"eval_fraction": 0.0}})
    [question] = choose_questions(profile, rows, {0: "no system role"})
    return [question.prompt, question.tools, question.reference]


def treat_long_rows() -> dict[str, Any]:
    """For each value of dataset.long_rows: [[tokens and learned tokens] of the sequences, dropped rows, truncated
    rows, tokens of the longest row]; or the failure."""
    tokenizer = build_tokenizer()
    turn = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Rook is a hero."}]
    rows = [read_row(Record(0, line, {"messages": turn * turns})) for line, turns in enumerate((1, 5), 1)]
    found: dict[str, Any] = {}
    for long_rows in ("cut", "drop", "refuse"):
        profile = Profile.model_validate(
            {"model": {"name": "-", "max_seq_length": 50}, "dataset": {"long_rows": long_rows}}
        )
        try:
            examples = tokenise(rows, tokenizer, profile, eval_rows=set(), progress=lambda done, detail: None)
        except TrainingFailure as failure:
            found[long_rows] = failure.message
            continue
        sequences = [[len(one["labels"]), sum(label >= 0 for label in one["labels"])] for one in examples.train]
        found[long_rows] = [sequences, examples.dropped, examples.truncated, examples.longest]
    return found


def tokenise_again(cache: str) -> dict[str, Any]:
    """Rows of two batches, tokenised again in several ways: whether the second time is as the first, and the details of
    each progress."""
    tokenizer, details = build_tokenizer(), {}

    def tokenised(name: str, *, learn: str = "all_answers", last: str = "Sure.") -> Examples:
        heard: list[str] = []
        rows = [_make_turns(line, system="refused" if line == 3 else "", last=last) for line in range(300)]
        profile = Profile.model_validate(
            {"model": {"name": "-", "max_seq_length": 40}, "dataset": {"learn": learn, "on_bad_rows": "skip"}}
        )
        examples = tokenise(
            rows,
            tokenizer,
            profile,
            eval_rows={7, 8},
            progress=lambda done, detail: heard.append(detail),
            cache=Path(cache),
        )
        details[name] = [heard[0], heard[-1]] if len(heard) > 1 else heard
        return examples

    tokenizer.chat_template = REFUSING + str(tokenizer.chat_template)
    first, again = tokenised("first"), tokenised("again")
    tokenised("another row", last="No.")
    tokenised("another mask", learn="last_answer")
    tokenizer.chat_template += " "
    tokenised("another template")
    assert len(first.refused) == 1
    assert first.truncated
    return {"same": first == again, "details": details}


def _make_turns(line: int, *, system: str, last: str) -> Row:
    messages = [{"role": "system", "content": system}] if system else []
    for answer in (f"It is {line}.", last):
        messages += [{"role": "user", "content": "Which gun?"}, {"role": "assistant", "content": answer}]
    return read_row(Record(0, line, {"messages": messages}))
