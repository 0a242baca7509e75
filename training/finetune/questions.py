"""Answers the questions of viewers between two steps, with the model that is in training: the adapter as it is now, or
the base model. Training continues exactly as if nobody had asked."""

# ruff: noqa: ARG002  transformers calls every callback with the same arguments, used or not

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import failures, files
from training.contract import questions as box
from training.contract.chat_messages import ChatAnswer
from training.contract.config import RowForm
from training.contract.failures import TrainingFailure
from training.contract.messages import WorkerError, encode
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.secrets import redact_secrets
from training.contract.signs import lives
from training.finetune.attempt import Attempt
from training.finetune.callbacks import Reporter
from training.finetune.decoding import CheckedDecoder
from training.finetune.inference import let_answer, without_adapter
from training.finetune.random_states import keep_random_states
from training.finetune.sharding import NO_ANSWERS
from training.finetune.vram import VramLimit
from training.job.answers import count_cache_bytes
from training.job.chat_answer import answer_request
from training.job.prompt import FittedPrompt

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

MAX_CACHE_SHARE = 0.5  # of the GPU memory that is left, for the keys and values of an answer
LINGER_SECONDS = 0.3  # a viewer that asks both models asks the second one when it has read the first answer
LOOK_SECONDS = 0.02
CHECK_SECONDS = 1.0  # between two looks whether the viewer still lives


class AnswerQuestions(TrainerCallback):
    """After a step, pauses training and answers all questions. The answer of a question that fails says why; only a
    stop request ends it early.

    Add this callback before those that act on stop requests, evaluate or save. `form` is the form of the rows. A
    question and its answer have at most `max_seq_length` tokens together: the memory of the run is for so many.
    """

    def __init__(
        self, attempt: Attempt, reporter: Reporter, profile: Profile, form: RowForm, limit: VramLimit | None
    ) -> None:
        self._attempt, self._reporter, self._profile, self._form = attempt, reporter, profile, form
        self._limit = limit
        self._decoder = CheckedDecoder()
        self._has_warned = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._must_go_on(state) or not box.list_questions(self._attempt.run):
            return
        self._attempt.step = state.global_step
        model, tokenizer = kwargs["model"], kwargs["processing_class"]
        self._reporter.report_pause("answering", state)
        try:
            with keep_random_states(of_gpus=True), let_answer(model, bf16=args.bf16, fp16=args.fp16) as autocast:
                for name in self._take_names(state):
                    self._answer(name, model, tokenizer, autocast, state.global_step)
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # the blocks of the answers have other sizes than those of training
            self._reporter.report_training(state)

    def _must_go_on(self, state: TrainerState) -> bool:
        return self._attempt.stop.level is not None or state.global_step >= state.max_steps

    def _take_names(self, state: TrainerState) -> Iterator[str]:
        """Yield the id of each question, also of those that come while others are answered. A question whose viewer
        is gone is deleted."""
        seen, waits_until = set[str](), 0.0
        while not self._must_go_on(state):
            name = next((name for name in box.list_questions(self._attempt.run) if name not in seen), None)
            if name is not None:
                seen.add(name)
                yield name
                waits_until = time.monotonic() + LINGER_SECONDS
            elif time.monotonic() < waits_until:
                time.sleep(LOOK_SECONDS)
            else:
                return

    def _answer(
        self,
        name: str,
        model: PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        autocast: Callable[[], AbstractContextManager[Any]],
        step: int,
    ) -> None:
        run = self._attempt.locate_run()
        question = box.read_question(run, name)
        if question is None:
            box.withdraw(run, name)
            return
        request, checked_at = question.request, 0.0
        path = box.question_path(run, name)
        text_config = model.config.get_text_config()

        def is_stopped() -> bool:
            nonlocal checked_at
            if self._attempt.stop.level or not path.exists():
                return True
            if time.monotonic() - checked_at > CHECK_SECONDS:
                checked_at = time.monotonic()
                return not lives(question.asker, path)
            return False

        def choose_decoder(prompt: FittedPrompt, streamer: Any) -> Callable[..., torch.Tensor]:
            use_cache = self._has_room_for_cache(model, prompt.tokens + prompt.max_new_tokens)
            return self._decoder.decode_with(streamer, adapter=request.adapter, use_cache=use_cache)

        with open_answer(run, name) as send:
            try:
                if self._profile.is_sharded:
                    raise TrainingFailure("bad_config", f"{NO_ANSWERS}.", "Park the run and chat then.")
                if self._profile.lora.bias != "none" and not request.adapter:
                    message = "The run trains biases, so its base model can't answer while it trains."
                    raise TrainingFailure("bad_config", message, "Ask the adapter, or park the run and chat then.")
                with nullcontext() if request.adapter else without_adapter(model):
                    answer_request(
                        request,
                        model,
                        tokenizer,
                        self._form,
                        context=min(text_config.max_position_embeddings, self._profile.model.max_seq_length),
                        computing=autocast,
                        is_stopped=is_stopped,
                        send=send,
                        choose_decoder=choose_decoder,
                        step=step if request.adapter else None,
                    )
            except Exception as error:  # noqa: BLE001  no question is worth the end of a run
                report_failure(error, request.id, send)
        box.finish(run, name)
        if self._decoder.failure and not self._has_warned:
            self._has_warned = True
            self._attempt.warn(f"Answers during training are slower: with a cache, {self._decoder.failure}.")

    def _has_room_for_cache(self, model: PeftModel, tokens: int) -> bool:
        free = self._limit.count_free_bytes() if self._limit else None
        return free is None or count_cache_bytes(model, tokens) <= MAX_CACHE_SHARE * free


@contextmanager
def open_answer(run: RunDirectory, name: str) -> Iterator[Callable[[ChatAnswer], None]]:
    """Yield the function that appends a message to the answer. Where nothing can be written, it writes nothing: the
    viewer learns from the question, which is gone then."""
    try:
        descriptor = files.open_to_append(box.answer_path(run, name))
    except OSError:
        box.withdraw(run, name)
        yield do_nothing
        return

    def send(message: ChatAnswer) -> None:
        try:
            os.write(descriptor, encode(message))
        except OSError:  # the disk is full
            box.withdraw(run, name)

    try:
        yield send
    finally:
        os.close(descriptor)


def do_nothing(_: ChatAnswer) -> None:
    return


def report_failure(error: Exception, request_id: int, send: Callable[[ChatAnswer], None]) -> None:
    """Send what went wrong. Errors that no one expects have their traceback in the log."""
    if not isinstance(error, TrainingFailure):
        print(redact_secrets("".join(traceback.format_exception(error))), file=sys.stderr, flush=True)  # noqa: T201
    failure = failures.classify(error)
    send(WorkerError(id=request_id, kind=failure.kind, message=failure.message, hint=failure.hint))
