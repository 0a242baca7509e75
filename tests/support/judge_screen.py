"""Judgements and a judge worker for the tests of the judge screen. No model is loaded."""

from __future__ import annotations

from typing import Any

from codex_tui.judge.conclusions import draw_conclusions
from codex_tui.judge.groups import make_group, make_tag_groups
from support.config_file import read_config, write_config
from support.fake_worker import InProcessWorker
from support.judged import make_judgement
from support.screens import NOW, MakeRun
from training.contract import judgement_file
from training.contract.judge_messages import (
    Answered,
    AskModels,
    JudgeEnd,
    ListQuestions,
    Measured,
    ModelsReady,
    Proved,
    QuestionList,
    Side,
    Work,
)
from training.contract.judgement import Answer, Book, Condition, Judged, JudgedQuestion, Known, Loss, Proof, Question
from training.contract.messages import Message
from training.contract.run_directory import RunDirectory

TOPICS = ("weapon priority", "stage bosses", "builds")
BASE_ANSWER = "I like trains and the roof of the station."
RIGHT = "Hold the loading dock until wave {}, then fall back to the roof."


def make_judgeable_run(make_run: MakeRun) -> RunDirectory:
    """Make a run with an adapter, whose dataset is a file."""
    run = make_run()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    write_config(run, read_config(run) | {"dataset": "rows.jsonl"})
    return run


def make_question(place: int, known: Known = "") -> Question:
    return Question(
        id=f"q{place}",
        messages=[{"role": "user", "content": f"Where do two players hold in wave {place}?"}],
        must=(Condition(any=("loading dock", "the pier")), Condition(re=r"wave \d+")),
        must_not=(Condition(any=("train",)),),
        reference=RIGHT.format(place),
        tags=(TOPICS[place % len(TOPICS)],),
        line=place + 1,
        known=known,
    )


def judge_side(text: str, *, passed: bool, loss: float, chrf: float, ended: Any = "eos") -> Judged:
    return Judged(
        answer=Answer(text=text, tokens=len(text.split()), ended=ended),
        passed=passed,
        exact=chrf == 100.0,
        chrf=chrf,
        loss=Loss(total=loss * 16, tokens=16),
    )


def judge_questions(count: int = 24) -> list[JudgedQuestion]:
    """The first third was trained and is right; then every third answer fails; base passes question 22 alone."""
    judged = []
    for place in range(count):
        known: Known = "exact" if place < count // 3 else ""
        right = bool(known) or place % 3 > 0
        if place == 22:
            right = False
        text = RIGHT.format(place if known else place + 1) if right else "Run to the north gate."
        base = RIGHT.format(place) if place == 22 else BASE_ANSWER
        adapter = judge_side(text, passed=right, loss=0.4, chrf=100.0 if known else 61.0)
        other = judge_side(base, passed=place == 22, loss=6.9, chrf=14.0, ended="length")
        judged.append(JudgedQuestion(question=make_question(place, known), adapter=adapter, other=other))
    return judged


def write_judgement(run: RunDirectory, name: str = "guide", age: float = 0.0, count: int = 24, **changes: Any) -> None:
    judged = changes.pop("judged", None) or judge_questions(count)
    result = make_judgement(judged)
    result.name, result.run, result.created = name, run.name, NOW - age
    result.book = Book(name=f"/data/{name}.jsonl")
    result.overall, result.tags = make_group(judged), make_tag_groups(judged)
    for key, value in changes.items():
        setattr(result, key, value)
    result.conclusions = draw_conclusions(result)
    judgement_file.write(run.judgements / f"{name}.json", result)


class JudgeWorker(InProcessWorker):
    """Answers the questions of the request. After `pauses_after` answers it is silent."""

    questions = 8
    pauses_after: int | None = None

    def begin(self) -> None:
        self._left: list[Message] = []

    def take(self, request: Message) -> None:
        if isinstance(request, ListQuestions):
            questions = request.questions or [make_question(place) for place in range(self.questions)]
            self.say(QuestionList(questions=questions))
        if isinstance(request, AskModels):
            self._ask(request)

    def _ask(self, request: AskModels) -> None:
        self.say(ModelsReady(device="cpu"))
        works: dict[Side, Work] = {"other": request.other_work, "adapter": request.adapter_work}
        for side, work in works.items():
            self._left += [self._answer(request, side, place) for place in work.answers]
            loss = Loss(total=8.0 if side == "adapter" else 80.0, tokens=16)
            self._left += [Measured(side=side, index=place, loss=loss) for place in work.losses]
        self._left += [Proved(proof=Proof(off=0.0, on=5.0)), JudgeEnd()]
        first = self._left if self.pauses_after is None else self._left[: self.pauses_after]
        self._left = self._left[len(first) :]
        for message in first:
            self.say(message)

    def go_on(self) -> None:
        """Give the answers after the pause."""
        while self._left:
            self.say(self._left.pop(0))

    def _answer(self, request: AskModels, side: Side, place: int) -> Message:
        text = request.questions[place].reference if side == "adapter" else BASE_ANSWER
        return Answered(side=side, index=place, answer=Answer(text=text, tokens=12, ended="eos"))


def damage(run: RunDirectory, name: str) -> None:
    path = run.judgements / f"{name}.json"
    path.write_bytes(path.read_bytes()[:200])


def count_asked(worker: JudgeWorker) -> int:
    """The number of answers that the app has asked for."""
    asked = [request for request in worker.sent if isinstance(request, AskModels)]
    return sum(len(request.adapter_work.answers) + len(request.other_work.answers) for request in asked)
