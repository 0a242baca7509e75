"""A trainer in a thread of the test, which answers the questions to a run."""

from __future__ import annotations

import threading
import time

from training.contract import questions
from training.contract.chat_messages import AnswerBegin, AnswerEnd, AnswerReason, ChatAnswer, Generate, Token
from training.contract.messages import WorkerError, encode
from training.contract.run_directory import RunDirectory


class FakeTrainer:
    """Answers each question of `run` as a trainer does, in a thread: with the last message in capital letters."""

    def __init__(self, run: RunDirectory) -> None:
        self.run, self.asked = run, list[Generate]()
        self.answers, self.ended = threading.Event(), threading.Event()
        self.answers.set()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self.ended.is_set():
            for name in questions.list_questions(self.run) if self.answers.is_set() else ():
                if question := questions.read_question(self.run, name):
                    self._answer(name, question.request)
            time.sleep(0.01)

    def _answer(self, name: str, request: Generate) -> None:
        self.asked.append(request)
        text = request.messages[-1]["content"]
        if text == "no memory":
            self.write(name, WorkerError(id=request.id, kind="gpu_memory", message="No memory.", hint="Ask less."))
        else:
            step = 7 if request.adapter else None
            self.write(name, AnswerBegin(id=request.id, tokens=9, step=step))
            self.write(name, Token(id=request.id, text=text.upper()))
            while text == "forever" and questions.question_path(self.run, name).exists():
                time.sleep(0.01)
            reason: AnswerReason = "stopped" if text == "forever" else "eos"
            self.write(name, AnswerEnd(id=request.id, reason=reason, tokens=3, seconds=0.5))
        questions.finish(self.run, name)

    def write(self, name: str, message: ChatAnswer) -> None:
        with questions.answer_path(self.run, name).open("ab") as file:
            file.write(encode(message))

    def end(self) -> None:
        self.ended.set()
        self._thread.join()
        questions.delete_all(self.run)
