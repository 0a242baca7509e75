"""Asks the model the questions of the run's book at each evaluation, and reports how many of its answers pass."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from transformers import TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.config import RowForm
from training.contract.failures import TrainingFailure
from training.contract.judgement import MIN_NEW_TOKENS, Question, choose_max_new_tokens
from training.contract.profile import Profile
from training.dataset.book import BookDamaged, read_book
from training.dataset.known import mark_known
from training.dataset.marks import mark_all
from training.dataset.shapes import Row
from training.finetune.attempt import Attempt
from training.finetune.inference import USE_CACHE, let_answer
from training.job.answers import Answerer, Prompt, encode_prompts, generate_answers

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

SECONDS_BETWEEN_REPORTS = 1.0


class BookJudge:
    """Asks `questions`, each by its place in the book. `pass_tokens` is the number of tokens that fit into memory in
    one forward pass. `sha256` is that of the book."""

    def __init__(
        self,
        attempt: Attempt,
        questions: Mapping[int, Question],
        prompts: Sequence[Prompt],
        max_new_tokens: int,
        pass_tokens: int,
        sha256: str,
    ) -> None:
        self._attempt, self._questions, self._prompts = attempt, questions, list(prompts)
        self._max_new_tokens, self._pass_tokens, self._sha256 = max_new_tokens, pass_tokens, sha256
        self._has_warned = False

    def is_due(self, state: TrainerState) -> bool:
        """Whether to ask after this step, in a run without evaluation rows too. After a stop request, or when
        the time limit is near, nothing is asked: the run shall end soon."""
        is_evaluated = state.global_step % int(state.eval_steps) == 0 or state.global_step >= state.max_steps
        return is_evaluated and not self._attempt.stop.level and not self._attempt.out_of_time

    def report(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, args: TrainingArguments, state: TrainerState
    ) -> None:
        """Ask all questions and emit the pass rate. Emits nothing if a stop request comes meanwhile, and a warning if
        the model can't answer: no question is worth the end of a run."""
        started, step = time.monotonic(), state.global_step
        try:
            answers = self._ask(model, tokenizer, args)
            if answers is None:
                return
            pairs = [(question, answers[place]) for place, question in self._questions.items()]
            passed = list(map(bool, mark_all(pairs)[0]))
        except TrainingFailure as failure:
            self._warn_once(step, failure.message)
            return
        except OSError as error:  # the process that searches with regular expressions can't be started
            self._warn_once(step, f"The answers can't be marked: {error.strerror}.")
            return
        trained = [passes for (question, _), passes in zip(pairs, passed, strict=True) if question.known]
        self._attempt.events.emit(
            ev.PassRate(
                step=step,
                passes=sum(passed),
                questions=len(passed),
                trained_passes=sum(trained),
                trained_questions=len(trained),
                seconds=round(time.monotonic() - started, 3),
                book=self._sha256,
            )
        )

    def _ask(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, args: TrainingArguments
    ) -> dict[int, str] | None:
        """Return the answer to each question by its place; None if a stop request came before the last one."""
        answers: dict[int, str] = {}
        reported_at = 0.0
        with let_answer(model, bf16=args.bf16, fp16=args.fp16) as autocast:
            answerer = Answerer(
                model, tokenizer, autocast, lambda tokens: self._pass_tokens // tokens, use_cache=USE_CACHE
            )
            for place, answer in generate_answers(answerer, self._prompts, self._max_new_tokens):
                answers[place] = answer.text
                if self._attempt.stop.level:
                    return None
                if time.monotonic() - reported_at > SECONDS_BETWEEN_REPORTS:
                    reported_at = time.monotonic()
                    self._report_progress(len(answers))
        return answers

    def _report_progress(self, done: int) -> None:
        total, detail = len(self._questions), "the questions of the book"
        self._attempt.events.emit(ev.Phase(name="evaluating", done=done, total=total, unit="questions", detail=detail))

    def _warn_once(self, step: int, problem: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._attempt.warn(f"There is no pass rate at step {step:,}. {problem} Later evaluations try it again.")


def prepare_book_judge(
    attempt: Attempt,
    profile: Profile,
    rows: Sequence[Row],
    eval_rows: Collection[int],
    form: RowForm,
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
) -> BookJudge | None:
    """Read the run's copy of the book that the profile names. Returns None if it names none, or with FSDP.

    Warns and returns None if the copy is gone, and warns and leaves out a question that the model can't be asked.
    """
    if profile.evaluation.book is None or profile.is_sharded:
        return None
    try:
        book = read_book(attempt.locate_run().book)
    except BookDamaged as error:
        attempt.warn(f"The run's copy of its book can't be used, so there is no pass rate. {error}.")
        return None
    train_rows = (row for place, row in enumerate(rows) if place not in eval_rows)
    questions = mark_known(book.questions, train_rows)
    # Unsloth cuts a text that is longer than max_seq_length, without an error.
    context = min(model.config.get_text_config().max_position_embeddings, profile.model.max_seq_length)
    prompts: list[Prompt] = []
    refused: list[str] = []
    for place in (place for place, question in enumerate(questions) if question.has_marks):
        try:
            prompts += encode_prompts(questions, [place], tokenizer, form, context, MIN_NEW_TOKENS)
        except TrainingFailure as failure:
            refused.append(failure.message)
    if refused:
        count = f"{len(refused)} questions of the book are" if len(refused) > 1 else "A question of the book is"
        attempt.warn(f"{count} left out of the pass rate. {refused[0]}")
    if not prompts:
        return None
    room = context - max(len(prompt.ids) for prompt in prompts)
    max_new_tokens = max(MIN_NEW_TOKENS, min(choose_max_new_tokens(form), room))  # the same for all: larger batches
    return BookJudge(
        attempt,
        {prompt.index: questions[prompt.index] for prompt in prompts},
        [replace(prompt, max_new_tokens=min(max_new_tokens, context - len(prompt.ids))) for prompt in prompts],
        max_new_tokens,
        profile.evaluation.per_device_eval_batch_size * profile.model.max_seq_length,
        book.sha256,
    )
