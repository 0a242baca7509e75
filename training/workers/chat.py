"""`python -m training chat RUN`: answers with the run's adapter and with its base model, from one loaded model.

The messages are in `training.contract.messages`. To answer with the base model, the worker switches the adapter off.
That changes modules that all requests share, so requests are answered one after the other.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.contract import checkpoints
from training.contract.failures import TrainingFailure, name_full_disk
from training.contract.messages import (
    CHAT,
    AnswerEnd,
    ChatAnswer,
    ChatReady,
    ChatRequest,
    ChatTurn,
    Generate,
    Loading,
    StopAnswer,
    Token,
)
from training.contract.run_directory import RunDirectory
from training.job import environ
from training.job.job import Job, read_job
from training.workers.adapter import name_damaged_file
from training.workers.pipe import Pipe

ChatPipe = Pipe[ChatRequest, ChatAnswer]
LOADING_STEPS = 2


def serve(path: Path) -> int:
    pipe: ChatPipe = Pipe(CHAT)
    try:
        run, job = RunDirectory(path), read_job(path)
        environ.prepare(job.profile, job.cache)
        model = ChatModel.load(
            run, job, lambda detail, done: pipe.send(Loading(detail=detail, done=done, total=LOADING_STEPS))
        )
        pipe.send(ChatReady(device=model.device, has_adapter=model.has_adapter, step=model.step))
    except Exception as error:  # noqa: BLE001  the app shows any error
        pipe.send_error(error)
        return 1
    requests: queue.Queue[Generate] = queue.Queue()
    threading.Thread(target=_answer_all, args=(pipe, model, requests), daemon=True).start()
    for request in pipe.requests():
        match request:
            case Generate():
                requests.put(request)
            case StopAnswer():
                model.stop(request.id)
    os._exit(0)  # a normal exit would wait for the current answer, which nobody reads any more


def _answer_all(pipe: ChatPipe, model: ChatModel, requests: queue.Queue[Generate]) -> None:
    while True:
        request = requests.get()
        try:
            model.answer(request, pipe.send)
        except BrokenPipeError:
            os._exit(0)
        except Exception as error:  # noqa: BLE001  this answer failed; the next one may not
            pipe.send_error(error, request.id)


@dataclass
class ChatModel:
    """A loaded model. `answer` runs in one thread; `stop` can be called from any thread."""

    device: str
    has_adapter: bool
    step: int | None  # the checkpoint's, None for the run's own adapter
    _model: Any
    _tokenizer: Any
    _dtype: Any
    _stopped: set[int] = field(default_factory=set)

    @classmethod
    def load(cls, run: RunDirectory, job: Job, report: Callable[[str, int], None]) -> ChatModel:
        """Loads the model of `run` and its adapter, if it has one: this takes up to a minute.

        Calls `report` with a text and the number of finished steps. Raises TrainingFailure.
        """
        report("starting PyTorch", 0)
        import torch

        from training.job import model

        adapter = checkpoints.find_chat_adapter(run)
        actual = {**job.profile.model.model_dump(), **job.actual_model}
        dtype = getattr(torch, actual["dtype"] if actual["dtype"] != "auto" else "bfloat16")
        report(f"loading {job.profile.model.name}" + (" and the adapter" if adapter else ""), 1)
        source = model.resolve_source(job.model_name, job.cache)
        with name_damaged_file(adapter, run), name_full_disk(model.hub_cache()):
            loaded, tokenizer = model.load_for_chat(
                source,
                revision=job.profile.model.revision,
                load_in_4bit=actual["load_in_4bit"],
                dtype=str(dtype).removeprefix("torch."),
                adapter=adapter,
            )
        device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
        step = None if adapter in (None, run.adapter) else checkpoints.parse_step(adapter)
        return cls(device, adapter is not None, step, loaded, tokenizer, dtype)

    def stop(self, request_id: int) -> None:
        """Ends the answer to the request after its next token, or before its first token."""
        self._stopped.add(request_id)

    def answer(self, request: Generate, send: Callable[[ChatAnswer], None]) -> None:
        """Sends each token of the answer as soon as it exists, then the end of the answer."""
        import torch

        with_adapter = request.adapter and self.has_adapter
        inputs = self._encode(request.messages)
        prompt_tokens = inputs["input_ids"].shape[1]
        began = time.monotonic()
        # A model that was loaded without an adapter has no method to switch it off.
        base = self._model.disable_adapter() if self.has_adapter and not with_adapter else contextlib.nullcontext()
        autocast = torch.autocast(self._model.device.type, self._dtype, enabled=self._dtype is not torch.float32)
        sampling = {"do_sample": True, "temperature": request.temperature} if request.temperature > 0 else {}
        with torch.inference_mode(), autocast, base:
            output = self._model.generate(
                **inputs,
                max_new_tokens=request.max_new_tokens,
                eos_token_id=self._end_tokens(),
                pad_token_id=self._tokenizer.pad_token_id,
                streamer=self._streamer(lambda text: send(Token(id=request.id, text=text))),
                stopping_criteria=self._stopping_criteria(request.id),
                **{"do_sample": False, **sampling},
            )
        ended = int(output[0, -1]) in self._end_tokens()
        send(
            AnswerEnd(
                id=request.id,
                reason="eos" if ended else "stopped" if request.id in self._stopped else "length",
                tokens=output.shape[1] - prompt_tokens,
                seconds=round(time.monotonic() - began, 3),
            )
        )
        self._stopped.discard(request.id)

    def _encode(self, messages: list[ChatTurn]) -> Any:
        if not messages:
            raise TrainingFailure("bad_data", "There is no message to answer.")
        return self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)

    def _end_tokens(self) -> list[int]:
        """The tokens that end an answer: those of the model's generation config, and the tokenizer's."""
        configured = self._model.generation_config.eos_token_id
        tokens = {self._tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
        return sorted(token for token in tokens if token is not None)

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
