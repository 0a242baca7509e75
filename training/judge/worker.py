"""`python -m training judge RUN`: asks the models that are compared, and measures their losses.

The messages are in `training.contract.judge_messages`.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

from training.contract.judge_messages import (
    JUDGE,
    Answered,
    AskModels,
    JudgeAnswer,
    JudgeEnd,
    JudgeRequest,
    ListQuestions,
    Measured,
    MeasureRows,
    ModelsReady,
    Proved,
    RowMeasured,
    Side,
    Work,
)
from training.contract.judgement import Question
from training.contract.messages import Loading
from training.contract.run_directory import RunDirectory
from training.dataset.messages import format_answer
from training.dataset.shapes import Row
from training.job.answers import Answerer, count_fitting, encode_prompts, generate_answers
from training.job.job import Job
from training.job.tokens import Encoded, EncodedRow, RowEncoder
from training.judge.losses import TokenLosses, add_losses, encode_references, measure_losses
from training.judge.models import STEPS, JudgeModels
from training.judge.questions import check_book, iterate_rows, list_held_out, read_split_rows
from training.workers.pipe import Pipe
from training.workers.run_worker import serve_run

JudgePipe = Pipe[JudgeRequest, JudgeAnswer]
SIDES: tuple[Side, ...] = ("other", "adapter")  # the base model first: it takes longer, since it rarely stops by itself
CHUNK = 256  # rows that are measured at once
MAX_EXCERPT = 300
PROBE = "What should I do first?"


def serve(path: Path) -> int:
    pipe: JudgePipe = Pipe(JUDGE)
    return serve_run(pipe, path, STEPS, partial(_answer, pipe))


def _answer(pipe: JudgePipe, run: RunDirectory, job: Job, request: JudgeRequest) -> None:
    match request:
        case ListQuestions():
            pipe.send(Loading(detail="reading the rows", done=0, total=STEPS))
            other = None if request.other is None else Path(request.other)
            if request.questions is None:
                pipe.send(list_held_out(job, other))
            else:
                pipe.send(check_book(job, request.questions, other))
        case AskModels():
            _ask_models(pipe, run, job, request)
        case MeasureRows():
            _measure_rows(pipe, run, job, request.first)


def _load(pipe: JudgePipe, run: RunDirectory, job: Job, other: Path | None, probe: str) -> JudgeModels:
    models = JudgeModels.load(
        run, job, other, probe, lambda detail, done: pipe.send(Loading(detail=detail, done=done, total=STEPS))
    )
    pipe.send(ModelsReady(device=models.device))
    return models


def _ask_models(pipe: JudgePipe, run: RunDirectory, job: Job, request: AskModels) -> None:
    other = None if request.other is None else Path(request.other)
    models = _load(pipe, run, job, other, request.questions[0].text if request.questions else PROBE)
    for side, work in zip(SIDES, (request.other_work, request.adapter_work), strict=True):
        _ask(pipe, models, side, work, request.questions, request.max_new_tokens)
    pipe.send(Proved(proof=models.prove()))
    pipe.send(JudgeEnd())


def _ask(
    pipe: JudgePipe, models: JudgeModels, side: Side, work: Work, questions: list[Question], max_new_tokens: int
) -> None:
    speaker = models.speakers[side]
    prompts = encode_prompts(questions, work.answers, speaker.tokenizer, speaker.form, models.context, max_new_tokens)
    with models.switch_to(side) as model:
        answerer = Answerer(model, speaker.tokenizer, models.autocast, partial(count_fitting, model))
        for index, answer in generate_answers(answerer, prompts, max_new_tokens):
            pipe.send(Answered(side=side, index=index, answer=answer))
        encoded = list(encode_references(questions, work.losses, speaker, models.context))
        for number, tokens in measure_losses(models, model, speaker, [sequence for _, sequence in encoded]):
            pipe.send(Measured(side=side, index=encoded[number][0], loss=add_losses([tokens])))


def _measure_rows(pipe: JudgePipe, run: RunDirectory, job: Job, first: int) -> None:
    """Send the losses of every row that the model learned from or was evaluated on, cut as they were."""
    pipe.send(Loading(detail="reading the rows", done=0, total=STEPS))
    split = read_split_rows(job)
    total = len(split.train) + len(split.held_out)
    if first >= total:  # all rows are measured already
        pipe.send(JudgeEnd())
        return
    rows = islice(enumerate(iterate_rows(split)), first, None)
    models = _load(pipe, run, job, None, PROBE)
    encoder = RowEncoder(models.speakers["adapter"].tokenizer, job.profile.dataset)
    while chunk := list(islice(rows, CHUNK)):
        encoded = encoder.encode([row for _, (row, _) in chunk])
        base, adapter = (_measure_chunk(models, side, encoded, job) for side in SIDES)
        for place, (position, (row, held_out)) in enumerate(chunk):
            if any(adapter[place]) and any(base[place]):
                pipe.send(_describe_row(job, row, position, total, held_out, adapter[place], base[place]))
    pipe.send(Proved(proof=models.prove()))
    pipe.send(JudgeEnd())


def _measure_chunk(models: JudgeModels, side: Side, rows: list[EncodedRow], job: Job) -> list[list[TokenLosses]]:
    """Return the losses of each row: a list for each of its sequences, which is empty where nothing is learned."""
    places = [(place, number) for place, row in enumerate(rows) for number in range(len(row.sequences))]
    cut = {(place, number): _cut(rows[place].sequences[number], job) for place, number in places}
    learned = [(key, sequence) for key, sequence in cut.items() if sequence]
    losses: list[list[TokenLosses]] = [[[] for _ in row.sequences] for row in rows]
    speaker = models.speakers["adapter"]
    with models.switch_to(side) as model:
        for at, tokens in measure_losses(models, model, speaker, [sequence for _, sequence in learned]):
            place, number = learned[at][0]
            losses[place][number] = tokens
    return losses


def _cut(sequence: Encoded, job: Job) -> Encoded | None:
    """Cut a sequence as the training does. Returns None if nothing of it is learned."""
    limit, long_rows = job.profile.model.max_seq_length, job.profile.dataset.long_rows
    cut = sequence.cut(limit)
    return cut if cut.spans and (long_rows == "cut" or len(sequence.input_ids) <= limit) else None


def _describe_row(
    job: Job,
    row: Row,
    position: int,
    total: int,
    held_out: bool,
    adapter: list[TokenLosses],
    base: list[TokenLosses],
) -> RowMeasured:
    answer = row.messages[row.answers[-1]] if row.answers else None
    question = next((turn["content"] for turn in reversed(row.messages) if turn["role"] == "user"), "")
    return RowMeasured(
        position=position,
        total=total,
        file=job.source.label(row.file),
        line=row.line,
        held_out=held_out,
        question=question[:MAX_EXCERPT],
        answer=(format_answer(answer) if answer else row.text or "")[:MAX_EXCERPT],
        adapter=add_losses(adapter),
        base=add_losses(base),
        file_number=row.file,
        adapter_tokens=[_in_hundredths(tokens) for tokens in adapter],
        base_tokens=[_in_hundredths(tokens) for tokens in base],
    )


def _in_hundredths(losses: TokenLosses) -> list[int]:
    """Return the losses as whole numbers, which need less room in the file. A loss is never below 0."""
    return [max(0, round(100 * loss)) for loss in losses]
