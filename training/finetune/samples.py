"""Samples: the model's answers to a few questions, at each evaluation. All answers of an evaluation are generated in
batches, as those to the questions of a book."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.config import RowForm
from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.dataset.messages import Message, format_answer
from training.dataset.shapes import Row
from training.finetune.attempt import Attempt
from training.finetune.inference import USE_CACHE, let_answer
from training.job.answers import Answerer, Prompt, generate_answers
from training.job.prompt import describe_rows, encode_prompt
from training.job.tokens import with_system_prompt

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Question:
    """A question for the model at each evaluation, and the dataset's answer to it ("" if there is none).

    For a dataset of plain text, `turns` has one turn: the beginning of a text that the model continues.
    """

    turns: list[Message]
    form: RowForm
    reference: str
    tools: list[dict[str, Any]] | None = None

    @property
    def prompt(self) -> str:
        return self.turns[-1]["content"]


def choose_questions(
    profile: Profile, rows: Sequence[Row], refused: Collection[int] = (), eval_rows: Collection[int] = ()
) -> list[Question]:
    """Choose as many questions as evaluation.samples asks for, or fewer if there are not so many different ones: the
    profile's sample_prompt if it is set, then the evaluation rows, then the other rows.

    `refused` are the positions of the rows that the chat template refuses: they are not asked. `eval_rows` are the
    positions of the evaluation rows.
    """
    held = set(eval_rows)
    places = (*sorted(held), *(place for place in range(len(rows)) if place not in held))
    asked = [rows[place] for place in places if place not in refused] or [rows[0]]

    def propose() -> Iterator[Question]:
        if profile.evaluation.sample_prompt:
            yield _ask_prompt(profile.evaluation.sample_prompt, profile, rows)
        yield from (_ask_row(row, profile) for row in asked)

    different: dict[str, Question] = {}
    for question in propose():
        different.setdefault(question.prompt, question)
        if len(different) == profile.evaluation.samples:
            break
    return list(different.values())


def _ask_prompt(prompt: str, profile: Profile, rows: Sequence[Row]) -> Question:
    system_prompt = profile.dataset.system_prompt
    form = describe_rows(list(rows), system_prompt, ())
    turns: list[Message] = [{"role": "user", "content": prompt}]
    asked = with_system_prompt(turns, form.system_prompt)
    chats = (with_system_prompt(row.messages, system_prompt) for row in rows if row.text is None)
    reference = next((messages[-1]["content"] for messages in chats if messages[:-1] == asked), "")
    return Question(turns, form, reference)


def _ask_row(row: Row, profile: Profile) -> Question:
    if row.text is None:
        form = RowForm(system_prompt=profile.dataset.system_prompt)
        return Question(row.messages[:-1], form, format_answer(row.messages[-1]), row.tools)
    words = row.text.split()
    half = len(words) // 2
    beginning: list[Message] = [{"role": "user", "content": " ".join(words[:half]) or row.text}]
    return Question(beginning, RowForm(text=True), " ".join(words[half:]))


def _encode(tokenizer: PreTrainedTokenizerBase, question: Question) -> list[int]:
    encoded = encode_prompt(tokenizer, question.turns, question.form, question.tools)
    tokens: list[int] = encoded["input_ids"][0].tolist()
    return tokens


class Sampler:
    """Asks `questions` and emits the answers, of `max_new_tokens` at most. `pass_tokens` is the number of tokens that
    fit into memory in one forward pass."""

    def __init__(self, attempt: Attempt, questions: Sequence[Question], max_new_tokens: int, pass_tokens: int) -> None:
        self._attempt, self._questions = attempt, questions
        self._max_new_tokens, self._pass_tokens = max_new_tokens, pass_tokens
        self._prompts: list[Prompt] = []
        self._has_warned = False

    @property
    def count(self) -> int:
        return len(self._questions)

    def report(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, args: TrainingArguments, state: TrainerState
    ) -> None:
        """Ask all questions and emit the answers, in the order of the questions. If even one answer alone finds no
        memory, warns instead: no sample is worth the end of a run."""
        if not self._questions:
            return
        self._prompts = self._prompts or [
            Prompt(place, _encode(tokenizer, question), self._max_new_tokens)
            for place, question in enumerate(self._questions)
        ]
        started = time.monotonic()
        try:
            with let_answer(model, bf16=args.bf16, fp16=args.fp16) as autocast:
                answerer = Answerer(
                    model, tokenizer, autocast, lambda tokens: self._pass_tokens // tokens, use_cache=USE_CACHE
                )
                answers = dict(generate_answers(answerer, self._prompts, self._max_new_tokens))
        except TrainingFailure as failure:
            if not self._has_warned:
                self._has_warned = True
                self._attempt.warn(
                    f"There is no sample at step {state.global_step:,}. {failure.message} Later evaluations try again."
                )
            return
        seconds = round(time.monotonic() - started, 3)
        for place, question in enumerate(self._questions):
            answer = answers[place]
            self._attempt.events.emit(
                ev.Sample(
                    step=state.global_step,
                    prompt=question.prompt,
                    text=answer.text,
                    reference=question.reference,
                    cut_at=None if answer.ended == "eos" else answer.tokens,
                    seconds=seconds,
                )
            )


def make_sampler(
    attempt: Attempt, profile: Profile, rows: Sequence[Row], refused: Collection[int], eval_rows: Collection[int]
) -> Sampler:
    evaluation = profile.evaluation
    return Sampler(
        attempt,
        [] if profile.is_sharded else choose_questions(profile, rows, refused, eval_rows),
        evaluation.sample_max_new_tokens,
        evaluation.per_device_eval_batch_size * profile.model.max_seq_length,
    )
