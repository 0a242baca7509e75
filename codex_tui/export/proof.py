"""The proof that an exported model answers as its run does: the same prompts, answers that end, and the same words.

`make_step` makes the step of an export. It needs a function that asks the exported model the questions; the run's own
answers come from the judge worker, which asks nothing twice. The report lies beside the model, as JSON and as a text.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress
from codex_tui.export.plan import ExportPlan
from codex_tui.export.proof_report import Comparison, ProofReport, format_text, make_report
from codex_tui.export.steps import Facts, Step
from codex_tui.export.worker_talk import ExportTalk
from codex_tui.judge.judging import answer_with_adapter
from codex_tui.judge.plan import HELD_OUT, JudgePlan, find_book
from training.contract import judgement_file
from training.contract.export_messages import Exported, ProofQuestion
from training.contract.judgement import Book, Question, choose_max_new_tokens

VERSION = 1
MAX_QUESTIONS = 30
NAME = "proof"

Ask = Callable[[Sequence[ProofQuestion], int, OnProgress], Awaitable[list[Exported]]]
"""Asks an exported model the questions, each with at most so many new tokens, and returns one result for each. The
model must find its prompt itself, from `ProofQuestion.messages` (or `text`) and its own template. It always takes the
likeliest token. Raises CodexError."""


def make_step(
    plan: ExportPlan, of: str, ask: Ask, *, needs: tuple[str, ...], name: str = NAME, depends_on: Any = None
) -> Step:
    """Make the step that proves an exported model. `of` says in a word which one it is, such as "bfloat16" or "Q4_K_M".
    The report is in `name`.json and `name`.txt."""

    async def prove(folder: Path, report: OnProgress) -> Facts:
        result = await _prove(plan, of, ask, report)
        (folder / f"{name}.json").write_text(json.dumps(result.to_builtins(), indent=2, ensure_ascii=False) + "\n")
        (folder / f"{name}.txt").write_text("\n".join(format_text(result)) + "\n")
        return result.summarise()

    fingerprint = plan.side.config.dataset_fingerprint
    data = fingerprint.sha256 if fingerprint else ""
    return Step(name, [VERSION, plan.side.model.sha256, data, MAX_QUESTIONS, of, depends_on], prove, needs=needs)


async def _prove(plan: ExportPlan, of: str, ask: Ask, report: OnProgress) -> ProofReport:
    limit = choose_max_new_tokens(plan.side.form)
    async with ExportTalk.start(plan.run, report) as talk:
        listed = await talk.list_questions(_find_book(plan), MAX_QUESTIONS)
    questions = [one.question for one in listed.questions]
    own = JudgePlan(plan.side, None, Book(name=NAME), questions, limit, NAME)
    answers = await answer_with_adapter(own, questions, report)
    exported = await ask(listed.questions, limit, report)
    pairs = [
        Comparison(question, answer, loss, other)
        for question, (answer, loss), other in zip(listed.questions, answers, exported, strict=True)
    ]
    return make_report(plan.run.name, of, listed.source, limit, pairs)


def _find_book(plan: ExportPlan) -> list[Question] | None:
    """Find the questions of the book with which the run was judged last; None if there is none."""
    names = [head.book.name for _, head in judgement_file.read_heads(plan.run.judgements)]
    name = next((name for name in names if name != HELD_OUT), None)
    try:
        return find_book(plan.side, name)[1]
    except BadInput:
        return None


def make_merged_ask(plan: ExportPlan, folder: Path) -> Ask:
    """Return the function that asks the merged model in `folder`."""

    async def ask(questions: Sequence[ProofQuestion], max_new_tokens: int, report: OnProgress) -> list[Exported]:
        async with ExportTalk.start(plan.run, report) as talk:
            return await talk.ask_merged(folder, list(questions), max_new_tokens)

    return ask
