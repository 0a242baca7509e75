"""The two sides of a proof: the questions as the run asks them, and what a merged model makes of them.

The merged model is loaded as any program loads it: with its own tokenizer, template and end tokens. So a wrong template
or a missing end token shows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from training.contract.export_messages import Exported, ProofQuestion, ProofQuestions, QuestionSource
from training.contract.failures import TrainingFailure
from training.contract.judgement import Loss, Question
from training.contract.run_directory import RunDirectory
from training.job.answers import Answerer, Prompt, count_fitting, generate_answers
from training.job.job import Job
from training.job.prompt import encode_prompt, find_row_form
from training.job.tokens import Encoded, with_system_prompt
from training.judge.losses import add_losses, encode_references, measure_losses
from training.judge.models import Speaker, find_adapter
from training.judge.questions import make_question, read_split_rows

MEMORY_SHARE = 1.15  # of the weights: what a model needs to answer, with its keys and values


def list_questions(run: RunDirectory, job: Job, book: Sequence[Question] | None, count: int) -> ProofQuestions:
    """Choose at most `count` questions, and encode them as the run does. Raises TrainingFailure."""
    from transformers import AutoTokenizer

    questions, source = _choose_questions(job, book)
    tokenizer = AutoTokenizer.from_pretrained(find_adapter(run), trust_remote_code=False)
    speaker = Speaker(job, tokenizer, find_row_form(job))
    chosen = _spread([one for one in questions if one.reference] or questions, count)
    references = dict(encode_references(chosen, range(len(chosen)), speaker, None))
    encoded = [_encode(question, references.get(place), speaker) for place, question in enumerate(chosen)]
    limit = job.profile.model.max_seq_length
    fitting = [one for one in encoded if len(one.prompt_ids) + len(one.reference_ids) <= limit]
    if not fitting:
        raise TrainingFailure("bad_data", f"No question of {run.name} fits into its {limit:,} tokens.", NO_PROOF)
    return ProofQuestions(questions=fitting, source=source)


NO_PROOF = "Export without the proof: --no-proof"


def _choose_questions(job: Job, book: Sequence[Question] | None) -> tuple[list[Question], QuestionSource]:
    try:
        split = read_split_rows(job)
    except TrainingFailure as failure:
        if book:
            return list(book), "book"
        raise TrainingFailure(failure.kind, failure.message, f"{failure.hint} Or: --no-proof".strip()) from failure
    if made := [question for row in split.held_out if (question := make_question(job, row))]:
        return made, "held-out"
    if book:
        return list(book), "book"
    if made := [question for row in split.train if (question := make_question(job, row))]:
        return made, "training"
    raise TrainingFailure("bad_data", "The rows of the run make no question.", NO_PROOF)


def _spread(questions: list[Question], count: int) -> list[Question]:
    """Choose `count` of the questions, evenly from the first to the last."""
    if len(questions) <= count:
        return questions
    return [questions[place * len(questions) // count] for place in range(count)]


def _encode(question: Question, reference: Encoded | None, speaker: Speaker) -> ProofQuestion:
    form = speaker.form
    ids = encode_prompt(speaker.tokenizer, question.messages, form, question.tools)["input_ids"][0].tolist()
    text = "".join(turn["content"] for turn in question.messages) if form.text else None
    messages = question.messages if form.text else with_system_prompt(question.messages, form.system_prompt)
    if reference is None or not reference.spans:
        return ProofQuestion(question=question, messages=messages, text=text, prompt_ids=ids)
    start, end = reference.spans[-1]
    return ProofQuestion(
        question=question,
        messages=messages,
        text=text,
        prompt_ids=ids,
        reference_ids=reference.input_ids[start:end],
        as_trained=reference.input_ids[:start] == ids,
    )


@dataclass
class MergedModel:
    """A merged model in the precision of its files."""

    model: Any
    speaker: Speaker

    @classmethod
    def load(cls, folder: Path, job: Job, report: Callable[[str, int], None]) -> MergedModel:
        """Raises TrainingFailure, also if the model has no room in memory."""
        report("starting PyTorch", 0)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = _choose_device(folder)
        report("loading the merged model", 1)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", use_safetensors=True, trust_remote_code=False, device_map={"": device}
        )
        torch.manual_seed(0)
        return cls(model.eval(), Speaker(job, tokenizer, find_row_form(job)))

    def autocast(self) -> Any:
        return contextlib.nullcontext()

    def ask(self, questions: Sequence[ProofQuestion], max_new_tokens: int) -> Iterator[tuple[int, Exported]]:
        """Yield the place of each question, and what the model makes of it."""
        prompts = [
            Prompt(place, _encode_prompt(question, self.speaker), max_new_tokens)
            for place, question in enumerate(questions)
        ]
        losses = self._measure(questions, prompts)
        for place, answer in generate_answers(self._make_answerer(), prompts, max_new_tokens):
            yield place, Exported(prompt_ids=prompts[place].ids, answer=answer, loss=losses.get(place))

    def _make_answerer(self) -> Answerer:
        """End an answer where the model's own files say so, and nowhere else."""
        ends = self.model.generation_config.eos_token_id
        tokens = [token for token in (ends if isinstance(ends, list) else [ends]) if token is not None]
        fitting = partial(count_fitting, self.model)
        return Answerer(self.model, self.speaker.tokenizer, self.autocast, fitting, end_tokens=tokens)

    def _measure(self, questions: Sequence[ProofQuestion], prompts: Sequence[Prompt]) -> dict[int, Loss]:
        places = [place for place, question in enumerate(questions) if question.reference_ids]
        sequences = []
        for place in places:
            ids, reference = prompts[place].ids, questions[place].reference_ids
            sequences.append(Encoded([*ids, *reference], ((len(ids), len(ids) + len(reference)),)))
        measured = measure_losses(self, self.model, self.speaker, sequences)
        return {places[number]: add_losses([tokens]) for number, tokens in measured}


def _encode_prompt(question: ProofQuestion, speaker: Speaker) -> list[int]:
    """Encode the question with the exported tokenizer and its template."""
    if question.text is not None:
        ids: list[int] = speaker.tokenizer(question.text)["input_ids"]
        return ids
    form = msgspec.structs.replace(speaker.form, system_prompt=None)  # the messages have it
    encoded = encode_prompt(speaker.tokenizer, question.messages, form, question.question.tools)
    ids = encoded["input_ids"][0].tolist()
    return ids


def _choose_device(folder: Path) -> Any:
    """Choose the GPU if the model has room there, else the CPU. Raises TrainingFailure if it has room in neither."""
    import psutil
    import torch

    needed = sum(path.stat().st_size for path in folder.glob("*.safetensors")) * MEMORY_SHARE
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] >= needed:
        return 0
    free = psutil.virtual_memory().available
    if free < needed:
        raise TrainingFailure(
            "host_memory",
            f"The proof needs {needed / 1e9:.1f} GB of memory for the merged model, and {free / 1e9:.1f} GB is free.",
            f"Close other programs, then give the same command again. {NO_PROOF}",
        )
    return "cpu"
