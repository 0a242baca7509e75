"""A chat worker without a model. It answers a question word for word, in capitals; "forever" until it is stopped;
"break" with an error; "your request?" with the request; and at "die" it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from training.contract.chat_messages import CHAT, AnswerEnd, ChatReady, StopAnswer, Token
from training.contract.failures import TrainingFailure
from training.contract.messages import Loading, encode
from training.workers.pipe import Pipe

run = Path(sys.argv[2])
pipe = Pipe(CHAT)
stopped: set[int] = set()
wake = threading.Event()


def answer_forever(number: int) -> None:
    while number not in stopped:
        pipe.send(Token(id=number, text="on and "))
        wake.wait(0.01)
    pipe.send(AnswerEnd(id=number, reason="stopped", tokens=3, seconds=0.5))


has_own_adapter = (run / "adapter" / "adapter_config.json").exists()
steps = [] if has_own_adapter else [int(path.name[-4:]) for path in run.glob("checkpoints/*")]
pipe.send(Loading(detail="loading it", done=1, total=4))
if (run / "killed").exists():
    os.kill(os.getpid(), signal.SIGKILL)
if (run / "no model").exists():
    pipe.send_error(TrainingFailure("model_not_found", "There is no such model.", "Check model.name."))
    sys.exit(1)
pipe.send(ChatReady(device="a card", has_adapter=has_own_adapter or bool(steps), step=max(steps, default=None)))
for request in pipe.requests():
    number = request.id
    if isinstance(request, StopAnswer):
        stopped.add(number)
        continue
    question = request.messages[-1]["content"]
    if question == "die":
        sys.exit("Out of memory.")
    elif question == "break":
        pipe.send_error(TrainingFailure("unknown", "That went wrong.", "Ask again."), number)
    elif question == "your request?":
        pipe.send(Token(id=number, text=encode(request).decode()))
        pipe.send(AnswerEnd(id=number, reason="eos", tokens=5, seconds=0.25))
    elif question == "forever":
        threading.Thread(target=answer_forever, args=(number,)).start()
    else:
        pipe.send(Token(id=number - 1, text="of an answer that nobody waits for any more"))
        for word in (question.upper(), " ", str(len(request.messages)), " ", str(request.adapter)):
            pipe.send(Token(id=number, text=word))
        pipe.send(AnswerEnd(id=number, reason="eos", tokens=5, seconds=0.25))
