"""What the model is asked, in the form of the rows that it learned from.

The samples of an evaluation and both chats (the pane and `chat --prompt`) encode their prompts here, so that the same
weights give the same greedy answer to the same question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from training.contract.config import RowForm
from training.contract.failures import TrainingFailure
from training.dataset.formats import Unreadable
from training.dataset.messages import Message
from training.dataset.records import BadRow, records
from training.dataset.shapes import Columns, Row, read_row
from training.job.tokens import with_system_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.job.job import Job

MAX_ANSWER_SHARE = 0.5  # share of the context that is kept free for the answer, at most


def describe_rows(rows: list[Row], system_prompt: str | None, lengths: Iterable[int]) -> RowForm:
    """Describe the form of most of `rows`. `system_prompt` is the profile's, `lengths` has each row's tokens."""
    max_tokens = max(lengths, default=None)
    chats = [with_system_prompt(row.messages, system_prompt) for row in rows if row.text is None]
    if 2 * len(chats) < len(rows):
        return RowForm(text=True, max_tokens=max_tokens)
    prompts = Counter(messages[0]["content"] for messages in chats if messages[0]["role"] == "system")
    usual, count = prompts.most_common(1)[0] if prompts else (None, 0)
    return RowForm(system_prompt=usual if 2 * count > len(chats) else system_prompt, max_tokens=max_tokens)


def find_row_form(job: Job) -> RowForm:
    """Return the form that the trainer recorded. A run of an older trainer has none: look at its profile and at its
    first good row."""
    form = job.config.find_row_form()
    if job.config.row_form is not None:
        return form
    if not form.text and _first_row_is_text(job):
        form = RowForm(text=True)
    max_tokens = job.actual_model.get("max_seq_length", job.profile.model.max_seq_length)
    return replace(form, max_tokens=max_tokens)


def _first_row_is_text(job: Job) -> bool:
    with suppress(OSError, Unreadable):  # the dataset may be gone, or on another machine
        for record in chain.from_iterable(map(records, job.source.files)):
            with suppress(BadRow):
                return read_row(record, Columns.from_dataset(job.profile.dataset)).text is not None
    return False


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, turns: list[Message], form: RowForm, tools: list[dict[str, Any]] | None = None
) -> Any:
    """Encode what the model answers: a conversation with the form's system message, or a text that it continues. A text
    may come in several turns, which are joined. `tools` are the functions that the model may call.

    Raises TrainingFailure if the model's chat template refuses the messages.
    """
    from jinja2 import TemplateError

    if form.text:
        return tokenizer("".join(turn["content"] for turn in turns), return_tensors="pt")
    messages = with_system_prompt(turns, form.system_prompt)
    try:
        return tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    except TemplateError as error:
        hint = "Remove the system message: some templates have none." if messages[0]["role"] == "system" else ""
        message = f"The model's chat template refuses this conversation: {str(error).rstrip('.')}."
        raise TrainingFailure("bad_data", message, hint) from error


def list_end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """List the tokens that end an answer: those of the model's generation config, and the tokenizer's."""
    configured = model.generation_config.eos_token_id
    tokens = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    return sorted(token for token in tokens if token is not None)


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that fits into the model's context with its answer. `left_out` counts the oldest turns that are left out
    of it; of a plain text, the tokens at its start."""

    inputs: Any
    tokens: int
    left_out: int
    max_new_tokens: int


def fit_prompt(
    tokenizer: PreTrainedTokenizerBase,
    turns: list[Message],
    form: RowForm,
    *,
    context: int | None,
    max_new_tokens: int,
    tools: list[dict[str, Any]] | None = None,
) -> FittedPrompt:
    """Encode `turns` for a model that sees at most `context` tokens; None: any number.

    Leaves out the oldest turns, always a question with its answer, until there is room for an answer of
    `max_new_tokens`, but for no more than half of the context.

    Raises TrainingFailure if the last question does not fit.
    """
    if not turns:
        raise TrainingFailure("bad_data", "There is no message to answer.")
    left_out = 0
    inputs = encode_prompt(tokenizer, turns, form, tools)
    tokens = inputs["input_ids"].shape[1]
    if context is None:
        return FittedPrompt(inputs, tokens, 0, max_new_tokens)
    limit = context - min(max_new_tokens, int(context * MAX_ANSWER_SHARE))
    if form.text and tokens > limit:
        left_out = tokens - limit
        inputs = type(inputs)({name: values[:, left_out:] for name, values in inputs.items()})
        tokens = limit
    while tokens > limit and (later := _find_next_question(turns, left_out)):
        left_out = later
        inputs = encode_prompt(tokenizer, turns[left_out:], form, tools)
        tokens = inputs["input_ids"].shape[1]
    if tokens >= context:
        message = f"The question has {tokens:,} tokens; the model's context has {context:,}."
        raise TrainingFailure("bad_data", message, "Ask a shorter question.")
    return FittedPrompt(inputs, tokens, left_out, min(max_new_tokens, context - tokens))


def _find_next_question(turns: list[Message], after: int) -> int | None:
    return next((place for place in range(after + 1, len(turns)) if turns[place]["role"] == "user"), None)
