"""The model of a chat: loads it with its adapter, and generates one answer after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from training.contract import checkpoints
from training.contract.chat_messages import ChatAnswer, Generate
from training.contract.config import RowForm
from training.contract.failures import name_full_disk
from training.contract.run_directory import RunDirectory
from training.job.chat_answer import answer_request
from training.job.job import Job
from training.job.prompt import find_row_form
from training.workers.adapter import name_damaged_file
from training.workers.tokenizer import load_tokenizer


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
        with_adapter, decoder = request.adapter and self.has_adapter, self._decoder
        try:
            answer_request(
                request,
                self._model,
                self._tokenizer,
                self.form,
                context=self.context,
                computing=lambda: self._compute(with_adapter=with_adapter),
                is_stopped=lambda: request.id in self._stopped,
                send=send,
                choose_decoder=lambda _, streamer: decoder.decode_with(with_adapter, streamer) if decoder else None,
            )
        finally:
            self._stopped.discard(request.id)

    @contextlib.contextmanager
    def _compute(self, *, with_adapter: bool) -> Iterator[None]:
        from training.job.model import autocast

        # A model that was loaded without an adapter has no method to switch it off.
        base = self._model.disable_adapter() if self.has_adapter and not with_adapter else contextlib.nullcontext()
        with autocast(self._model, self._dtype), base:
            yield
