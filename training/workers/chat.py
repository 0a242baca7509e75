"""`python -m training chat RUN`: answers with the run's adapter and with its base model, from one loaded model.

The messages are in `training.contract.messages`. To answer with the base model, the worker switches the adapter off.
That changes modules that all requests share, so requests are answered one after the other.
"""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path

from training.contract.chat_messages import CHAT, ChatAnswer, ChatReady, ChatRequest, Generate, StopAnswer
from training.contract.messages import Loading
from training.contract.run_directory import RunDirectory
from training.job import environ
from training.job.job import read_job
from training.workers.chat_model import ChatModel
from training.workers.pipe import Pipe

ChatPipe = Pipe[ChatRequest, ChatAnswer]
LOADING_STEPS = 2


def serve(path: Path) -> int:
    pipe: ChatPipe = Pipe(CHAT)
    try:
        with pipe.repeat_loading():
            run, job = RunDirectory(path), read_job(path)
            environ.prepare(job.profile, job.cache)
            model = ChatModel.load(
                run, job, lambda detail, done: pipe.send(Loading(detail=detail, done=done, total=LOADING_STEPS))
            )
        pipe.send(
            ChatReady(
                device=model.device,
                has_adapter=model.has_adapter,
                step=model.step,
                form=model.form,
                context=model.context,
            )
        )
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
