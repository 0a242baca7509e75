"""Turns rows into token ids and labels. The trainer and the sample viewer both use it, so the viewer shows exactly what
the model learns.

A row's messages go through the model's chat template. The last assistant message is the answer: the model learns it,
and everything before it is the prompt and is masked. These are TRL's prompt/completion semantics. Plain text is learned
whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from training.contract.failures import TrainingFailure
from training.dataset.shapes import Message, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # cross-entropy skips tokens with this label
PROGRESS_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Encoded:
    """One row as token ids, with its full length or cut. `learned[i]` says whether the loss counts token i."""

    input_ids: list[int]
    learned: list[bool]

    @property
    def start(self) -> int:
        """The position of the first learned token; the number of tokens if none is learned. All tokens after the first
        learned one are learned too."""
        return len(self.learned) - sum(self.learned)

    def cut(self, max_seq_length: int) -> Encoded:
        return Encoded(self.input_ids[:max_seq_length], self.learned[:max_seq_length])

    @property
    def labels(self) -> list[int]:
        return [token if learned else IGNORED for token, learned in zip(self.input_ids, self.learned, strict=True)]


@dataclass
class Examples:
    """Tokenised rows. `train` and `eval` hold {"input_ids": [...], "labels": [...]}, ready for SFTTrainer."""

    train: list[dict[str, list[int]]] = field(default_factory=list)
    eval: list[dict[str, list[int]]] = field(default_factory=list)
    dropped: int = 0  # rows with nothing left to learn after the cut
    truncated: int = 0  # rows whose answer lost its end in the cut
    refused: list[str] = field(default_factory=list)  # why the chat template refused a row, for each refused row


def with_system_prompt(messages: list[Message], system_prompt: str | None) -> list[Message]:
    """Put the system prompt before `messages`, unless they begin with a system message of their own."""
    if not system_prompt or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def encode_row(tokenizer: PreTrainedTokenizerBase, row: Row, system_prompt: str | None) -> Encoded:
    """Encode `row` in the model's chat format; plain text as it is, with an end-of-text token.

    Raises TrainingFailure if the model's chat template refuses the row.
    """
    from jinja2 import TemplateError

    if row.text is not None:
        ids = [*tokenizer(row.text)["input_ids"], tokenizer.eos_token_id]
        return Encoded(ids, [True] * len(ids))
    messages = with_system_prompt(row.messages, system_prompt)
    try:
        prompt = _apply_template(tokenizer, messages[:-1], add_generation_prompt=True)
        ids = _apply_template(tokenizer, messages)
    except TemplateError as error:  # some templates have no system role, or require that the roles alternate
        message = f"line {row.line}: the model's chat template refuses this row: {error}."
        raise TrainingFailure("bad_data", message) from error
    # The answer begins where the conversation first differs from the prompt.
    start = next((i for i, (a, b) in enumerate(zip(prompt, ids, strict=False)) if a != b), len(prompt))
    return Encoded(ids, [position >= start for position in range(len(ids))])


def _apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], *, add_generation_prompt: bool = False
) -> list[int]:
    # return_dict=False returns plain ids; by default they come in a BatchEncoding.
    return list(
        tokenizer.apply_chat_template(
            messages, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
        )
    )


def tokenise(
    rows: list[Row],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_seq_length: int,
    system_prompt: str | None,
    eval_rows: set[int],
    progress: Callable[[int], None],
    skip_refused: bool = False,
) -> Examples:
    """Tokenise all rows and cut them to `max_seq_length`. `eval_rows` are the positions of the evaluation rows.

    Calls `progress` with the number of rows done, a few times a second. Raises TrainingFailure if the chat template
    refuses a row, unless `skip_refused` is set.
    """
    examples = Examples()
    reported_at = 0.0
    for position, row in enumerate(rows):
        try:
            encoded = encode_row(tokenizer, row, system_prompt)
        except TrainingFailure as refusal:
            if not skip_refused:
                raise
            examples.refused.append(refusal.message)
            encoded = Encoded([], [])
        cut = encoded.cut(max_seq_length)
        if not any(cut.learned):
            examples.dropped += 1
        else:
            examples.truncated += len(cut.input_ids) < len(encoded.input_ids)
            split = examples.eval if position in eval_rows else examples.train
            split.append({"input_ids": cut.input_ids, "labels": cut.labels})
        if position + 1 == len(rows) or time.monotonic() - reported_at > PROGRESS_SECONDS:
            reported_at = time.monotonic()
            progress(position + 1)
    return examples
