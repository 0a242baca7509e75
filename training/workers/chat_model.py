"""The model of a chat: loads it with its adapter, and generates one answer after the other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET

from training.contract import checkpoints
from training.contract.config import RowForm
from training.contract.failures import TrainingFailure, name_full_disk
from training.contract.messages import AnswerBegin, AnswerEnd, AnswerReason, ChatAnswer, Generate, Token
from training.contract.run_directory import RunDirectory
from training.job.job import Job
from training.job.prompt import find_row_form, fit_prompt, list_end_tokens
from training.workers.adapter import name_damaged_file
from training.workers.tokenizer import load_tokenizer

TOO_LONG = "The answer to {:,} tokens needs more GPU memory than is free."
TOO_LONG_HINT = "Clear the conversation, ask a shorter question, or lower max_new_tokens."


@dataclass
class ChatModel:
    """A loaded model. `answer` runs in one thread; `stop` can be called from any thread."""

    device: str
    has_adapter: bool
    step: int | None  # the checkpoint's, None for the run's own adapter
    form: RowForm
    context: int | None  # the largest number of tokens that the model can see
    _model: Any
    _tokenizer: Any
    _dtype: Any
    _decoder: Any = None  # a GraphDecoder, where the model can be decoded with one
    _stopped: set[int] = field(default_factory=set)

    @classmethod
    def load(cls, run: RunDirectory, job: Job, report: Callable[[str, int], None]) -> ChatModel:
        """Loads the model of `run` and its adapter, if it has one: this takes up to a minute.

        Calls `report` with a text and the number of finished steps. Raises TrainingFailure.
        """
        report("starting PyTorch", 0)
        import torch

        from training.job import model
        from training.workers.decoding import GraphDecoder

        adapter = checkpoints.find_chat_adapter(run)
        report(f"loading {job.profile.model.name}" + (" and the adapter" if adapter else ""), 1)
        source = model.resolve_source(job.model_name, job.cache)
        with name_damaged_file(adapter, run), name_full_disk(model.hub_cache()):
            loaded, tokenizer = model.load_for_chat(
                source,
                revision=job.profile.model.revision,
                load_in_4bit=job.load_in_4bit,
                dtype=job.dtype,
                adapter=adapter,
            )
        if adapter is None and job.profile.model.chat_template:  # an adapter has it in its tokenizer
            tokenizer = load_tokenizer(job)
        device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
        step = None if adapter in (None, run.adapter) else checkpoints.parse_step(adapter)
        context = getattr(loaded.config.get_text_config(), "max_position_embeddings", None)
        dtype = getattr(torch, job.dtype)
        decoder = GraphDecoder() if GraphDecoder.supports(loaded) else None
        return cls(device, adapter is not None, step, find_row_form(job), context, loaded, tokenizer, dtype, decoder)

    def stop(self, request_id: int) -> None:
        """Ends the answer to the request after its next token, or before its first token."""
        self._stopped.add(request_id)

    def answer(self, request: Generate, send: Callable[[ChatAnswer], None]) -> None:
        """Sends the beginning of the answer, each token as soon as it exists, and the end. Raises TrainingFailure."""
        import torch

        from training.job.model import autocast

        with_adapter = request.adapter and self.has_adapter
        form = self.form
        if request.system_prompt is not UNSET:
            form = msgspec.structs.replace(form, system_prompt=request.system_prompt)
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in request.messages]
        prompt = fit_prompt(self._tokenizer, turns, form, context=self.context, max_new_tokens=request.max_new_tokens)
        send(AnswerBegin(id=request.id, tokens=prompt.tokens, left_out=prompt.left_out))
        end_tokens = list_end_tokens(self._model, self._tokenizer)
        streamer = self._streamer(lambda text: send(Token(id=request.id, text=text)))
        began = time.monotonic()
        # A model that was loaded without an adapter has no method to switch it off.
        base = self._model.disable_adapter() if self.has_adapter and not with_adapter else contextlib.nullcontext()
        try:
            with torch.inference_mode(), autocast(self._model, self._dtype), base:
                output = self._model.generate(
                    **prompt.inputs.to(self._model.device),
                    max_new_tokens=prompt.max_new_tokens,
                    eos_token_id=end_tokens,
                    pad_token_id=self._tokenizer.pad_token_id,
                    streamer=streamer,
                    stopping_criteria=self._stopping_criteria(request.id),
                    **_sampling(request),
                    **({"custom_generate": self._decoder.decode_with(with_adapter, streamer)} if self._decoder else {}),
                )
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise TrainingFailure("gpu_memory", TOO_LONG.format(prompt.tokens), TOO_LONG_HINT) from error
        tokens = output.shape[1] - prompt.tokens
        if int(output[0, -1]) in end_tokens:
            reason: AnswerReason = "eos"
        elif request.id in self._stopped:
            reason = "stopped"
        else:
            reason = "length" if prompt.max_new_tokens == request.max_new_tokens else "context"
        send(AnswerEnd(id=request.id, reason=reason, tokens=tokens, seconds=round(time.monotonic() - began, 3)))
        self._stopped.discard(request.id)

    def _streamer(self, receive: Callable[[str], None]) -> Any:
        from transformers import TextStreamer

        class Streamer(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002
                if text:
                    receive(text)

        return Streamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)

    def _stopping_criteria(self, request_id: int) -> Any:
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList

        stopped = self._stopped

        class Stopping(StoppingCriteria):
            def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:  # noqa: ARG002
                return torch.full((input_ids.shape[0],), request_id in stopped, device=input_ids.device)

        return StoppingCriteriaList([Stopping()])


def _sampling(request: Generate) -> dict[str, Any]:
    """The arguments of `generate` that choose each token."""
    import torch

    if not request.temperature:
        return {"do_sample": False}
    if request.seed is not None:
        torch.manual_seed(request.seed)
    else:
        torch.seed()
    return {"do_sample": True, "temperature": request.temperature, "top_p": request.top_p, "top_k": 0}
