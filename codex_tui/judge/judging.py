"""Judges: asks the worker what is not known yet, keeps each answer as it comes, and writes the result."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.base.text import pluralize
from codex_tui.hub.adapter import update_local_card
from codex_tui.judge.conclusions import draw_conclusions
from codex_tui.judge.endpoint import Endpoint
from codex_tui.judge.groups import judge_answers, make_group, make_tag_groups
from codex_tui.judge.journal import Entry, Journal, make_key
from codex_tui.judge.judge_model import ask_judge_model, keep_verdicts
from codex_tui.judge.plan import JudgePlan, Side
from codex_tui.judge.worker_talk import JudgeTalk
from training.contract import judgement_file
from training.contract.judge_messages import Answered, AskModels, Measured, ModelsReady, Proved, QuestionList, Work
from training.contract.judge_messages import Side as SideName
from training.contract.judgement import BASE, Answer, JudgedQuestion, Judgement, Loss, Proof, Question
from training.contract.run_directory import RunDirectory

SIDES: tuple[SideName, ...] = ("other", "adapter")
UNMEASURED = Loss(total=0.0, tokens=0)
"""In the journal: the reference can't be measured, since the template refuses it or it is too long."""


async def judge(plan: JudgePlan, report: OnProgress, endpoint: Endpoint | None = None) -> Judgement:
    """Make the judgement and write it to the run's directory. Asks the judge model at `endpoint`, if there is one.
    Raises CodexError, OSError."""
    with await asyncio.to_thread(Journal, plan.run) as journal:
        async with JudgeTalk.start(plan.run, report) as talk:
            listed = await talk.list_questions(plan.questions, _find_path(plan))
            checklist = Checklist(plan, listed.questions, journal)
            if checklist.count_missing():
                await _ask(talk, checklist, report)
        report(Progress("computing the intervals"))
        judgement = await asyncio.to_thread(_make_judgement, checklist, listed)
        await asyncio.to_thread(_write_judgement, plan.run, find_file(plan), judgement)
        if endpoint:  # the judgement is written already, since a server may take long or fail
            await ask_judge_model(judgement, journal, endpoint, report)
            await asyncio.to_thread(_write_judgement, plan.run, find_file(plan), judgement)
        return judgement


async def answer_with_adapter(
    plan: JudgePlan, questions: list[Question], report: OnProgress
) -> list[tuple[Answer, Loss | None]]:
    """Let the adapter of `plan` answer `questions`. What it has answered before is not asked again. Raises CodexError,
    OSError."""
    with await asyncio.to_thread(Journal, plan.run) as journal:
        checklist = Checklist(plan, questions, journal)
        work = checklist.find_work("adapter")
        if work.answers or work.losses:
            async with JudgeTalk.start(plan.run, report) as talk:
                await _ask(talk, checklist, report, ("adapter",))
        return list(zip(checklist.list_answers("adapter"), checklist.list_losses("adapter"), strict=True))


async def add_verdicts(run: RunDirectory, path: Path, endpoint: Endpoint, report: OnProgress) -> None:
    """Let the judge model at `endpoint` compare the answers of the judgement at `path`, and write the result there.
    Raises CodexError, OSError."""
    try:
        judgement = await asyncio.to_thread(judgement_file.read, path)
    except judgement_file.JudgementError as error:
        raise CodexError(error.message, error.hint) from None
    with await asyncio.to_thread(Journal, run) as journal:
        await ask_judge_model(judgement, journal, endpoint, report)
    await asyncio.to_thread(_write_judgement, run, path, judgement)


async def _ask(talk: JudgeTalk, checklist: Checklist, report: OnProgress, sides: tuple[SideName, ...] = SIDES) -> None:
    """Ask `sides` what the journal does not have, and keep each answer there."""
    plan, journal = checklist.plan, checklist.journal
    works = {side: checklist.find_work(side) if side in sides else Work() for side in SIDES}
    names: dict[SideName, str] = {"adapter": "the adapter answers", "other": f"{plan.against.name} answers"}
    done, device = dict.fromkeys(SIDES, 0), ""
    request = AskModels(
        questions=checklist.questions,
        adapter_work=works["adapter"],
        other_work=works["other"],
        max_new_tokens=plan.max_new_tokens,
        other=_find_path(plan),
    )
    async for answer in talk.ask(request):
        match answer:
            case ModelsReady():
                device = answer.device
                report(Progress(names["other"], 0, len(works["other"].answers), "questions"))
            case Answered():
                done[answer.side] += 1
                journal.add(Entry(key=checklist.answer_keys[answer.side][answer.index], answer=answer.answer))
                total = len(works[answer.side].answers)
                report(Progress(names[answer.side], done[answer.side], total, "questions"))
            case Measured():
                journal.add(Entry(key=checklist.loss_keys[answer.side][answer.index], loss=answer.loss))
            case Proved():
                journal.add(Entry(key=checklist.proof_key, proof=answer.proof, device=device))
    for side in sides:
        for place in checklist.find_work(side).losses:
            journal.add(Entry(key=checklist.loss_keys[side][place], loss=UNMEASURED))


def _find_path(plan: JudgePlan) -> str | None:
    return str(plan.other.run.path) if plan.other else None


def find_file(plan: JudgePlan) -> Path:
    return plan.run.judgements / f"{plan.name}.json"


async def list_held_out(run: RunDirectory, report: OnProgress) -> QuestionList:
    """Make questions from the rows that `run` held out. Raises CodexError."""
    async with JudgeTalk.start(run, report) as talk:
        return await talk.list_questions(None, None)


@dataclass
class Checklist:
    """The keys of all results that a judgement needs, and which of them the journal does not have yet."""

    plan: JudgePlan
    questions: list[Question]
    journal: Journal
    answer_keys: dict[SideName, list[str]] = field(default_factory=dict)
    loss_keys: dict[SideName, list[str]] = field(default_factory=dict)
    proof_key: str = ""

    def __post_init__(self) -> None:
        plan = self.plan
        for name in SIDES:
            # The base model is asked in the form of the run, too.
            side = plan.other if name == "other" and plan.other else plan.adapter
            weights = side.model.sha256 if name == "adapter" or plan.other else BASE
            self.answer_keys[name] = [self._make_answer_key(side, weights, question) for question in self.questions]
            self.loss_keys[name] = [self._make_loss_key(side, weights, question) for question in self.questions]
        self.proof_key = make_key("proof", plan.adapter.identity, plan.adapter.model.sha256, plan.against.sha256)

    def _make_answer_key(self, side: Side, weights: str, question: Question) -> str:
        asked = [question.messages, question.tools, self.plan.max_new_tokens]
        return make_key("answer", side.identity, weights, side.form.text, side.form.system_prompt, *asked)

    def _make_loss_key(self, side: Side, weights: str, question: Question) -> str:
        asked = [question.messages, question.tools, question.reference]
        return make_key("loss", side.identity, weights, side.form.text, side.form.system_prompt, *asked)

    def find_work(self, side: SideName) -> Work:
        answers = [place for place, key in enumerate(self.answer_keys[side]) if not self._has(key, "answer")]
        losses = [
            place
            for place, key in enumerate(self.loss_keys[side])
            if self.questions[place].reference and not self._has(key, "loss")
        ]
        return Work(answers=answers, losses=losses)

    def _has(self, key: str, part: str) -> bool:
        entry = self.journal.find(key)
        return entry is not None and getattr(entry, part) is not None

    def count_missing(self) -> int:
        works = [self.find_work(side) for side in SIDES]
        return sum(len(work.answers) + len(work.losses) for work in works) + (not self._has(self.proof_key, "proof"))

    def list_answers(self, side: SideName) -> list[Answer]:
        entries = [self.journal.find(key) for key in self.answer_keys[side]]
        return [entry.answer for entry in entries if entry and entry.answer]

    def list_losses(self, side: SideName) -> list[Loss | None]:
        entries = [self.journal.find(key) for key in self.loss_keys[side]]
        return [entry.loss if entry and entry.loss and entry.loss.tokens else None for entry in entries]

    def find_proof(self) -> tuple[Proof, str]:
        entry = self.journal.find(self.proof_key)
        assert entry and entry.proof
        return entry.proof, entry.device


def _write_judgement(run: RunDirectory, path: Path, judgement: Judgement) -> None:
    """Draw the conclusions, and write the judgement to the run's directory and to the card of its adapter."""
    judgement.conclusions = draw_conclusions(judgement)
    try:
        judgement_file.write(path, judgement)
    except judgement_file.JudgementError as error:
        raise CodexError(error.message, error.hint) from None
    with suppress(BadInput):  # the card is about the run's own adapter; a checkpoint has none
        update_local_card(run)


def _make_judgement(checklist: Checklist, listed: QuestionList) -> Judgement:
    plan, questions = checklist.plan, checklist.questions
    adapter, slow = judge_answers(questions, checklist.list_answers("adapter"), checklist.list_losses("adapter"))
    other, slow_too = judge_answers(questions, checklist.list_answers("other"), checklist.list_losses("other"))
    judged = [
        JudgedQuestion(question=question, adapter=one, other=two)
        for question, one, two in zip(questions, adapter, other, strict=True)
    ]
    proof, device = checklist.find_proof()
    overall = make_group(judged)
    known = [one for one in judged if one.question.known]
    unseen = [one for one in judged if not one.question.known]
    result = Judgement(
        name=plan.name,
        created=time.time(),
        run=plan.run.name,
        adapter=plan.adapter.model,
        against=plan.against,
        base=plan.adapter.base_name,
        book=plan.book,
        max_new_tokens=plan.max_new_tokens,
        system_prompt=plan.adapter.form.system_prompt,
        device=device,
        proof=proof,
        overall=overall,
        known=make_group(known) if known else None,
        unseen=None if listed.problem or not unseen else make_group(unseen) if known else overall,
        tags=make_tag_groups(judged),
        answers=judged,
    )
    with suppress(judgement_file.JudgementError):
        keep_verdicts(result, judgement_file.read(find_file(plan)))
    result.notes = _list_notes(checklist, listed, dict.fromkeys([*slow, *slow_too]))
    return result


def _list_notes(checklist: Checklist, listed: QuestionList, slow: dict[str, None]) -> list[str]:
    notes: list[str] = []
    if listed.problem:
        notes.append(f"Nobody knows which questions stand in the training rows: {listed.problem}")
    if listed.skipped:
        notes.append(f"{pluralize(listed.skipped, 'held-out row')} made no question.")
    if slow:
        ids = ", ".join(list(slow)[:10])
        notes.append(f"A regular expression needs more than a second for an answer; it counts as failed: {ids}.")
    if cut := sum(answer.ended != "eos" for answer in checklist.list_answers("adapter")):
        limit = checklist.plan.max_new_tokens
        notes.append(f"{pluralize(cut, 'answer')} of the adapter did not end within {limit:,} tokens.")
    step = checklist.plan.adapter.model.step
    if step is not None:
        notes.append(f"The checkpoint of step {step:,} answered, because the run has saved no adapter yet.")
    if checklist.journal.problem:
        notes.append(checklist.journal.problem)
    return notes
