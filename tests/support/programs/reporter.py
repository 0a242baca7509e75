"""The callbacks in the trainer's order, on a made-up clock and a made-up card: what the events say of a step's time."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training.contract.profile import Profile
from training.finetune import sft  # first: it imports Unsloth

# isort: split
from transformers import TrainerCallback, TrainerControl, TrainerState

from training.contract import events as ev
from training.contract.config import RowForm
from training.contract.run_directory import RunDirectory
from training.finetune import callbacks, checkpoints, guards, questions
from training.finetune.ranks import Ranks

TOKENS, STEP_SECONDS, SAVE_SECONDS, STEPS = 1000, 2.0, 20.0, 6
BOOK_AT, BOOK_SECONDS = (3, 6), 15.0  # the steps after which the questions of a book are asked
ASKED_AT, ANSWER_SECONDS = 4, 30.0  # the step after which a viewer asks the model
HOT_AFTER = 2  # the step after which the card is too hot; it cools while the run waits


def report_speed(logging_steps: str) -> list[list[Any]]:
    """[step, tokens a second] of each logged step, [step, seconds] of each checkpoint, and the names of the phases."""
    now, hot = 1000.0, False
    events: list[Any] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    callbacks.time = guards.time = clock
    checkpoints.is_whole = lambda folder: True
    card: Any = SimpleNamespace(
        read_hottest=lambda: ev.Gpu(temperature=99.0 if hot else 40.0),
        record=lambda emit: ev.Gpu(),
    )
    attempt: Any = SimpleNamespace(
        events=SimpleNamespace(emit=events.append),
        warn=lambda message: None,
        stop=SimpleNamespace(level=None),
        run=RunDirectory(Path("/run")),
        step=0,
        ranks=Ranks(),
    )
    profile = Profile.model_validate({"model": {"name": "demo:llama"}, "hardware": {"pause_above_celsius": 85}})
    question: Any = None  # no evaluation asks it
    book: Any = SimpleNamespace(
        is_due=lambda state: state.global_step in BOOK_AT, report=lambda *_: sleep(BOOK_SECONDS)
    )
    handlers = sft.build_callbacks(attempt, profile, question, book, card, TrainerCallback(), RowForm())
    asked = {ASKED_AT: ["a"]}
    questions.box = SimpleNamespace(list_questions=lambda run: asked.get(state.global_step, []))
    questions.let_answer = lambda model, **_: nullcontext()
    questions.AnswerQuestions._answer = lambda *_: sleep(ANSWER_SECONDS)
    questions.time = clock
    state, control, args = (
        TrainerState(max_steps=STEPS),
        TrainerControl(),
        SimpleNamespace(eval_strategy="no", bf16=False, fp16=False),
    )
    state.num_input_tokens_seen = 0

    def call(moment: str, **details: Any) -> None:
        for handler in handlers:
            getattr(handler, moment)(args, state, control, **details)

    call("on_train_begin")
    for step in range(1, STEPS + 1):
        call("on_step_begin")
        hot = False
        now += STEP_SECONDS
        state.global_step = step
        state.num_input_tokens_seen += TOKENS
        hot = step == HOT_AFTER
        control.should_log = step % int(logging_steps) == 0
        control.should_save = False
        call("on_step_end", model=None, processing_class=None)
        if control.should_log:
            call("on_log", logs={"loss": 1.0})
        if control.should_save:
            now += SAVE_SECONDS
            call("on_save")
        hot = False
    figures = [[event.step, event.tokens_per_second] for event in events if isinstance(event, ev.Metrics)]
    saved = [[event.step, event.seconds] for event in events if isinstance(event, ev.Checkpoint)]
    phases = [event.name for event in events if isinstance(event, ev.Phase)]
    return [figures, saved, [name for name, after in zip(phases, [*phases[1:], ""], strict=True) if name != after]]
