"""`python -m training chat RUN`: answers with the run's adapter and with its base, from one loaded model.

out  {"type":"phase","detail":"...","done":n,"total":n}*  {"type":"ready","device":"...","has_adapter":bool,"step":n}
in   {"type":"generate","id":1,"messages":[...],"adapter":bool,"max_new_tokens":n,"temperature":t}
out  {"type":"token","id":1,"text":"..."}*
     {"type":"end","id":1,"reason":"eos"|"length"|"stopped","tokens":n,"seconds":s}
in   {"type":"stop","id":1}

`step` is null where the adapter is the run's own, else that of the checkpoint whose adapter it is. The base is the
model with its adapter switched off, which changes modules that every request shares: so requests are answered one after
the other. The worker ends with its stdin.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.contract import checkpoints
from training.contract.failures import TrainingFailure, writing
from training.contract.run_directory import RunDirectory
from training.job import environ
from training.job.job import Job, read_job
from training.workers.adapter import loading
from training.workers.pipe import Pipe


def serve(path: Path) -> int:
    pipe = Pipe()
    try:
        run, job = RunDirectory(path), read_job(path)
        environ.prepare(job.profile, job.cache)
        speaker = Speaker(
            run, job, lambda detail, done: pipe.send({"type": "phase", "detail": detail, "done": done, "total": 2})
        )
        pipe.send({"type": "ready", "device": speaker.device, "has_adapter": speaker.has_adapter, "step": speaker.step})
    except Exception as error:  # noqa: BLE001  whatever it is, the app is told
        pipe.send_error(error)
        return 1
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_answer, args=(pipe, speaker, requests), daemon=True).start()
    for message in pipe.messages():
        if not isinstance(message.get("id"), int | str | None):
            pipe.send_error(TrainingFailure("unknown", "Not a message: its id is neither a number nor a text."))
        elif message.get("type") == "generate":
            requests.put(message)
        elif message.get("type") == "stop":
            speaker.stop(message.get("id"))
    os._exit(0)  # not a normal exit: an answer may be under way, and nobody waits for it


def _answer(pipe: Pipe, speaker: Speaker, requests: queue.Queue[dict[str, Any]]) -> None:
    while True:
        request = requests.get()
        number = request.get("id")
        try:
            speaker.answer(request, pipe.send)
        except BrokenPipeError:
            os._exit(0)
        except Exception as error:  # noqa: BLE001  this answer failed; the next may not
            pipe.send_error(error, number)


class Speaker:
    """One loaded model. `answer` runs in one thread; `stop` may be called from any."""

    def __init__(self, run: RunDirectory, job: Job, tell: Callable[[str, int], None]) -> None:
        tell("starting PyTorch", 0)
        import torch

        from training.job import model

        self._torch = torch
        folder = checkpoints.answering(run)
        ran = {**job.profile.model.model_dump(), **job.actual_model}
        self._dtype = getattr(torch, ran["dtype"] if ran["dtype"] != "auto" else "bfloat16")
        tell(f"loading {job.profile.model.name}" + (" and the adapter" if folder else ""), 1)
        source = model.resolve_source(job.model_name, job.cache)
        with loading(folder, run), writing(model.hub_cache()):
            self._model, self._tokenizer = model.load_for_chat(
                source,
                revision=job.profile.model.revision,
                load_in_4bit=ran["load_in_4bit"],
                dtype=str(self._dtype).removeprefix("torch."),
                adapter=folder,
            )
        self.has_adapter = folder is not None
        self.step = None if folder in (None, run.adapter) else checkpoints.step_of(folder)
        self.device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
        self._stopped: set[Any] = set()

    def stop(self, number: Any) -> None:
        """Ends the answer to request `number` after its next token, or before its first."""
        self._stopped.add(number)

    def answer(self, request: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
        """Sends the tokens of the answer as they come, then its end."""
        torch, number = self._torch, request.get("id")
        with_adapter = bool(request.get("adapter", True)) and self.has_adapter
        temperature = float(request.get("temperature") or 0.0)
        limit = int(request.get("max_new_tokens") or 256)
        inputs = self._inputs(request.get("messages"))
        prompt_tokens = inputs["input_ids"].shape[1]
        began = time.monotonic()
        # Without an adapter of its own the model is a plain one, with nothing to switch off.
        base = self._model.disable_adapter() if self.has_adapter and not with_adapter else contextlib.nullcontext()
        autocast = torch.autocast(self._model.device.type, self._dtype, enabled=self._dtype is not torch.float32)
        with torch.inference_mode(), autocast, base:
            output = self._model.generate(
                **inputs,
                max_new_tokens=limit,
                eos_token_id=self._ends(),
                pad_token_id=self._tokenizer.pad_token_id,
                streamer=self._streamer(lambda text: send({"type": "token", "id": number, "text": text})),
                stopping_criteria=self._stopping(number),
                **({"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}),
            )
        tokens = output.shape[1] - prompt_tokens
        ended = int(output[0, -1]) in self._ends()
        reason = "eos" if ended else "stopped" if number in self._stopped else "length"
        self._stopped.discard(number)
        seconds = round(time.monotonic() - began, 3)
        send({"type": "end", "id": number, "reason": reason, "tokens": tokens, "seconds": seconds})

    def _inputs(self, messages: Any) -> Any:
        if not isinstance(messages, list) or not messages:
            raise TrainingFailure("bad_data", "There is no message to answer.")
        return self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)

    def _ends(self) -> list[int]:
        """Tokens that end an answer: those the model names, and the tokenizer's."""
        named = self._model.generation_config.eos_token_id
        ends = {self._tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
        return sorted(end for end in ends if end is not None)

    def _streamer(self, receive: Callable[[str], None]) -> Any:
        from transformers import TextStreamer

        class Streamer(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002
                if text:
                    receive(text)

        return Streamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)

    def _stopping(self, number: Any) -> Any:
        from transformers import StoppingCriteria, StoppingCriteriaList

        torch, stopped = self._torch, self._stopped

        class Stopping(StoppingCriteria):
            def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:  # noqa: ARG002
                return torch.full((input_ids.shape[0],), number in stopped, device=input_ids.device)

        return StoppingCriteriaList([Stopping()])
