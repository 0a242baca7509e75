"""From rows to what the model is trained on. The trainer and the sample viewer both use this, so that what is shown is
what is learned.

A row's messages go through the model's chat template; everything before the last assistant message is the prompt and
is masked, the answer is learned: TRL's prompt/completion semantics. Plain text is learned whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from training.contract.failures import TrainingFailure
from training.dataset.shapes import Message, Row

IGNORED = -100  # the label that cross-entropy skips
PROGRESS_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Encoded:
    """A whole row in tokens, not yet cut. `learned[i]` says whether the loss counts token i."""

    input_ids: list[int]
    learned: list[bool]

    @property
    def start(self) -> int:
        """Where learning begins, which goes on to the end; the number of tokens where nothing is learned."""
        return len(self.learned) - sum(self.learned)

    def cut(self, max_seq_length: int) -> Encoded:
        return Encoded(self.input_ids[:max_seq_length], self.learned[:max_seq_length])

    @property
    def labels(self) -> list[int]:
        return [token if learned else IGNORED for token, learned in zip(self.input_ids, self.learned, strict=True)]


@dataclass
class Examples:
    """Tokenised rows: `train` and `eval` hold {"input_ids", "labels"}, ready for SFTTrainer."""

    train: list[dict[str, list[int]]] = field(default_factory=list)
    eval: list[dict[str, list[int]]] = field(default_factory=list)
    dropped: int = 0  # the cut left nothing to learn
    truncated: int = 0  # the cut took the end of the answer
    refused: list[str] = field(default_factory=list)  # by the model's chat template, and why


def with_system_prompt(messages: list[Message], system_prompt: str | None) -> list[Message]:
    if not system_prompt or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def encode_row(tokenizer: Any, row: Row, system_prompt: str | None) -> Encoded:
    """`row` in the model's chat format; plain text as it is, and its end. Raises TrainingFailure where the model's
    template refuses it."""
    from jinja2 import TemplateError

    if row.text is not None:
        ids = [*tokenizer(row.text)["input_ids"], tokenizer.eos_token_id]
        return Encoded(ids, [True] * len(ids))
    messages = with_system_prompt(row.messages, system_prompt)
    try:
        prompt = _template(tokenizer, messages[:-1], add_generation_prompt=True)
        whole = _template(tokenizer, messages)
    except TemplateError as error:  # a template may know no system role, say, or want roles to alternate
        message = f"line {row.line}: the model's chat template refuses this row: {error}."
        raise TrainingFailure("bad_data", message) from error
    answer = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
    return Encoded(whole, [position >= answer for position in range(len(whole))])


def _template(tokenizer: Any, messages: list[Message], *, add_generation_prompt: bool = False) -> list[int]:
    # return_dict=False gives plain ids, not a BatchEncoding
    return list(
        tokenizer.apply_chat_template(
            messages, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
        )
    )


def tokenise(
    rows: list[Row],
    tokenizer: Any,
    *,
    max_seq_length: int,
    system_prompt: str | None,
    eval_rows: set[int],
    progress: Callable[[int], None],
    skip_refused: bool = False,
) -> Examples:
    """All rows, tokenised and cut. `progress` is told now and then how many are done. Raises TrainingFailure for a row
    that the chat template refuses, unless such rows are to be left out."""
    examples = Examples()
    told_at = 0.0
    for position, row in enumerate(rows):
        try:
            whole = encode_row(tokenizer, row, system_prompt)
        except TrainingFailure as refusal:
            if not skip_refused:
                raise
            examples.refused.append(refusal.message)
            whole = Encoded([], [])
        kept = whole.cut(max_seq_length)
        if not any(kept.learned):
            examples.dropped += 1
        else:
            examples.truncated += len(kept.input_ids) < len(whole.input_ids)
            split = examples.eval if position in eval_rows else examples.train
            split.append({"input_ids": kept.input_ids, "labels": kept.labels})
        if position + 1 == len(rows) or time.monotonic() - told_at > PROGRESS_SECONDS:
            told_at = time.monotonic()
            progress(position + 1)
    return examples
