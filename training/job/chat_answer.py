"""Answers one request of a chat, in the chat worker or in a paused trainer: encodes the conversation, generates, and
sends the answer piece by piece. So both encode and choose words in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from msgspec import UNSET

from training.contract.chat_messages import AnswerBegin, AnswerEnd, AnswerReason, ChatAnswer, Generate, Token
from training.contract.config import RowForm
from training.contract.failures import TrainingFailure
from training.job.prompt import FittedPrompt, fit_prompt, list_end_tokens

TOO_LONG = "The answer to {:,} tokens needs more GPU memory than is free."
TOO_LONG_HINT = "Clear the conversation, ask a shorter question, or lower max_new_tokens."

ChooseDecoder = Callable[[FittedPrompt, Any], Callable[..., Any] | None]
"""Returns the loop that `generate` uses in place of its own, from the prompt and the streamer; None for its own."""


def answer_request(
    request: Generate,
    model: Any,
    tokenizer: Any,
    form: RowForm,
    *,
    context: int | None,
    computing: Callable[[], AbstractContextManager[Any]],
    is_stopped: Callable[[], bool],
    send: Callable[[ChatAnswer], None],
    choose_decoder: ChooseDecoder,
    step: int | None = None,
) -> None:
    """Send the beginning of the answer, each token as soon as it exists, and the end. Raises TrainingFailure.

    `computing` returns the context in which the model computes; it switches the adapter off for the base model.
    `is_stopped` is asked after each token. `step` is the step of an adapter that is still trained.
    """
    import torch

    if request.system_prompt is not UNSET:
        form = msgspec.structs.replace(form, system_prompt=request.system_prompt)
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in request.messages]
    prompt = fit_prompt(tokenizer, turns, form, context=context, max_new_tokens=request.max_new_tokens)
    send(AnswerBegin(id=request.id, tokens=prompt.tokens, left_out=prompt.left_out, step=step))
    end_tokens = list_end_tokens(model, tokenizer)
    streamer = _make_streamer(tokenizer, lambda text: send(Token(id=request.id, text=text)))
    began = time.monotonic()
    decoder = choose_decoder(prompt, streamer)
    stopping = _make_stopping_criteria(is_stopped)
    try:
        with torch.inference_mode(), computing():
            output = model.generate(
                **prompt.inputs.to(model.device),
                max_new_tokens=prompt.max_new_tokens,
                eos_token_id=end_tokens,
                pad_token_id=tokenizer.pad_token_id,
                streamer=streamer,
                stopping_criteria=stopping,
                **_choose_sampling(request),
                **({"custom_generate": decoder} if decoder else {}),
            )
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise TrainingFailure("gpu_memory", TOO_LONG.format(prompt.tokens), TOO_LONG_HINT) from error
    tokens = output.shape[1] - prompt.tokens
    if int(output[0, -1]) in end_tokens:
        reason: AnswerReason = "eos"
    elif stopping[0].has_stopped:
        reason = "stopped"
    else:
        reason = "length" if prompt.max_new_tokens == request.max_new_tokens else "context"
    send(AnswerEnd(id=request.id, reason=reason, tokens=tokens, seconds=round(time.monotonic() - began, 3)))


def _make_streamer(tokenizer: Any, receive: Callable[[str], None]) -> Any:
    from transformers import TextStreamer

    class Streamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002
            if text:
                receive(text)

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)


def _make_stopping_criteria(is_stopped: Callable[[], bool]) -> Any:
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Stopping(StoppingCriteria):
        has_stopped = False

        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:  # noqa: ARG002
            self.has_stopped = is_stopped()
            return torch.full((input_ids.shape[0],), self.has_stopped, device=input_ids.device)

    return StoppingCriteriaList([Stopping()])


def _choose_sampling(request: Generate) -> dict[str, Any]:
    """Return the arguments of `generate` that choose each token."""
    import torch

    if not request.temperature:
        return {"do_sample": False}
    if request.seed is not None:
        torch.manual_seed(request.seed)
    else:
        torch.seed()
    return {"do_sample": True, "temperature": request.temperature, "top_p": request.top_p, "top_k": 0}
