"""The questions of a book, asked of a made-up model that has little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch

from training.contract import events as ev
from training.contract.judgement import Condition, Question
from training.finetune import book_judge
from training.job.answers import Prompt

END = 9


def ask() -> list[list[Any]]:
    """[events without times, batch sizes that were tried] if there is room for all answers, for two at once, for two at
    once but a stop request comes with the first, and for none (asked at two evaluations)."""
    return [
        _ask(room=100),
        _ask(room=2),
        _ask(room=2, stop_after=2),
        _ask(room=0, evaluations=2),
    ]


def _ask(room: int, stop_after: int = 0, evaluations: int = 1) -> list[Any]:
    events: list[ev.Event] = []
    tried: list[int] = []
    stop = SimpleNamespace(level=None)
    attempt: Any = SimpleNamespace(
        stop=stop,
        events=SimpleNamespace(emit=events.append),
        warn=lambda message: events.append(ev.Warned(message=message)),
    )

    def generate(input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        tried.append(len(input_ids))
        if len(input_ids) > room:
            raise torch.OutOfMemoryError
        if len(tried) == stop_after:
            stop.level = "save"
        answers = input_ids[:, -1:]  # the answer repeats the last token of the question
        return torch.cat([input_ids, answers, torch.full_like(answers, END)], dim=1)

    model: Any = SimpleNamespace(
        device=torch.device("cpu"), generate=generate, generation_config=SimpleNamespace(eos_token_id=END)
    )
    tokenizer: Any = SimpleNamespace(
        eos_token_id=END, pad_token_id=0, decode=lambda tokens, **_: " ".join(str(t) for t in tokens if t != END)
    )
    questions = {
        place: Question(
            id=str(place),
            messages=[],
            must=(Condition(any=("right" if place == 3 else str(place),)),),
            known="exact" if place < 3 else "",
        )
        for place in range(1, 6)
    }
    prompts = [Prompt(place, [7] * place + [place], 4) for place in questions]
    judge = book_judge.BookJudge(attempt, questions, prompts, 4, 1_000, "abc")
    book_judge.let_answer = _let_answer  # type: ignore[assignment]
    args: Any = SimpleNamespace(bf16=False, fp16=False)
    for number in range(evaluations):
        judge.report(model, tokenizer, args, SimpleNamespace(global_step=10 * (number + 1)))  # type: ignore[arg-type]
    return [[_describe(event) for event in events], tried]


@contextmanager
def _let_answer(*_: Any, **__: Any) -> Iterator[Any]:
    yield nullcontext


def _describe(event: ev.Event) -> list[Any]:
    match event:
        case ev.PassRate():
            return [event.step, event.passes, event.questions, event.trained_passes, event.trained_questions]
        case ev.Warned():
            return [event.message]
        case ev.Phase():
            return [event.name, event.done, event.total, event.unit]
    return []
