"""Answers many questions at once: batches with padding on the left, always the likeliest token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from training.contract.config import RowForm
from training.contract.failures import TrainingFailure
from training.contract.judgement import Answer, EndReason, Question
from training.job.prompt import fit_prompt, list_end_tokens

MAX_BATCH = 32
MAX_CACHE_SHARE = 0.5  # of the free GPU memory, for the keys and values of a batch
NO_ROOM = "The answer to {} needs more GPU memory than is free."
NO_ROOM_HINT = "Close other programs that use the card, or lower --max-new-tokens."


@dataclass(frozen=True)
class Prompt:
    """The tokens of question number `index`. The answer may have `max_new_tokens`."""

    index: int
    ids: list[int]
    max_new_tokens: int


@dataclass(frozen=True)
class Answerer:
    """A model that answers, its tokenizer, and `autocast`, the context in which it computes with its run's precision.

    `count_fitting` returns how many answers fit into memory together, if each has so many tokens with its question.
    Without `use_cache`, each token is computed from the whole text before it: slower, and never different from what the
    model itself says. `end_tokens` end an answer; None: those of the model and those of the tokenizer.
    """

    model: Any
    tokenizer: Any
    autocast: Callable[[], AbstractContextManager[Any]]
    count_fitting: Callable[[int], int]
    use_cache: bool = True
    end_tokens: list[int] | None = None


def encode_prompts(
    questions: Sequence[Question],
    places: Sequence[int],
    tokenizer: Any,
    form: RowForm,
    context: int | None,
    max_new_tokens: int,
) -> list[Prompt]:
    """Encode the questions at `places` as a chat does. Raises TrainingFailure, which names the question."""
    prompts = []
    for place in places:
        question = questions[place]
        try:
            fitted = fit_prompt(
                tokenizer, question.messages, form, context=context, max_new_tokens=max_new_tokens, tools=question.tools
            )
        except TrainingFailure as failure:
            raise TrainingFailure(failure.kind, f"Question {question.id}: {failure.message}", failure.hint) from failure
        prompts.append(Prompt(place, fitted.inputs["input_ids"][0].tolist(), fitted.max_new_tokens))
    return prompts


def generate_answers(answerer: Answerer, prompts: list[Prompt], max_new_tokens: int) -> Iterator[tuple[int, Answer]]:
    """Yield the answer to each prompt, those of a batch together. Raises TrainingFailure."""
    import torch

    waiting = sorted(prompts, key=lambda prompt: (prompt.max_new_tokens, len(prompt.ids)))
    size = MAX_BATCH
    while waiting:
        size = max(1, min(size, answerer.count_fitting(len(waiting[:size][-1].ids) + waiting[0].max_new_tokens)))
        batch = [prompt for prompt in waiting[:size] if prompt.max_new_tokens == waiting[0].max_new_tokens]
        try:
            answers = _generate(answerer, batch, max_new_tokens)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(batch) == 1:
                message = NO_ROOM.format(f"{len(batch[0].ids):,} tokens")
                raise TrainingFailure("gpu_memory", message, NO_ROOM_HINT) from error
            size = len(batch) // 2
            continue
        yield from zip((prompt.index for prompt in batch), answers, strict=True)
        del waiting[: len(batch)]


def count_fitting(model: Any, tokens: int) -> int:
    """Count the answers that fit on the GPU together, each with `tokens` tokens. Under WSL2 a larger batch would not
    fail: the driver moves memory to the host, and everything becomes slow."""
    import torch

    if model.device.type != "cuda":
        return MAX_BATCH
    free, _ = torch.cuda.mem_get_info()
    return max(1, min(MAX_BATCH, int(free * MAX_CACHE_SHARE / count_cache_bytes(model, tokens))))


def count_cache_bytes(model: Any, tokens: int) -> int:
    """Count the bytes of the keys and values of `tokens` tokens, two bytes a number."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept_heads = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * kept_heads * width * 2) * tokens


def _generate(answerer: Answerer, batch: list[Prompt], max_new_tokens: int) -> list[Answer]:
    import torch

    model, tokenizer = answerer.model, answerer.tokenizer
    end_tokens = list_end_tokens(model, tokenizer) if answerer.end_tokens is None else answerer.end_tokens
    pad = next((token for token in (tokenizer.pad_token_id, *end_tokens) if token is not None), 0)
    ids, mask = pad_left([prompt.ids for prompt in batch], pad, model.device)
    with torch.inference_mode(), answerer.autocast():
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=batch[0].max_new_tokens,
            do_sample=False,
            eos_token_id=end_tokens or None,
            pad_token_id=pad,
            use_cache=answerer.use_cache,
        )
    answers = []
    for tokens in output[:, ids.shape[1] :].tolist():
        end = next((place for place, token in enumerate(tokens) if token in end_tokens), None)
        ended: EndReason = "context" if batch[0].max_new_tokens < max_new_tokens else "length"
        if end is not None:
            tokens, ended = tokens[: end + 1], "eos"
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        answers.append(Answer(text=text, tokens=len(tokens), ended=ended))
    return answers


def pad_left(rows: list[list[int]], pad: int, device: Any) -> tuple[Any, Any]:
    """Return the token ids of all rows as one tensor, and the mask of what is not padding."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
