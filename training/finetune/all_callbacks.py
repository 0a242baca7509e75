"""Creates the callbacks of a fine-tune, in the order in which transformers calls them."""

from __future__ import annotations

from transformers import TrainerCallback

from training.contract.config import RowForm
from training.contract.profile import Profile
from training.finetune.agreement import Agreement, WaitForAll
from training.finetune.attempt import Attempt
from training.finetune.book_judge import BookJudge
from training.finetune.callbacks import Reporter, StopOnRequest
from training.finetune.gpu import Card
from training.finetune.guards import CoolDown, LossWatch, StopEarly
from training.finetune.questions import AnswerQuestions
from training.finetune.samples import Sampler
from training.finetune.trackers import Trackers
from training.finetune.vram import VramLimit


def build_callbacks(
    attempt: Attempt,
    profile: Profile,
    sampler: Sampler,
    book_judge: BookJudge | None,
    card: Card | None,
    deadline: TrainerCallback,
    form: RowForm,
    limit: VramLimit | None = None,
    trackers: Trackers | None = None,
) -> list[TrainerCallback]:
    """Create the callbacks in the order in which they are called. Those before Reporter may request a checkpoint, which
    it reports, or pause the run before a step, which is then no part of the step. A stop request ends an answer to a
    viewer, so AnswerQuestions comes before StopOnRequest.

    Of several ranks, only rank 0 reports, answers and pauses. Those before Agreement may decide on one rank alone.
    """
    stops: list[TrainerCallback] = [StopOnRequest(attempt)]
    if profile.evaluation.patience:
        stops.append(StopEarly(attempt, profile.evaluation.patience))
    agreement = Agreement(attempt)
    last = [LossWatch(profile.training.stop_after_bad_steps), WaitForAll(attempt)]
    if not attempt.ranks.is_main:
        return [*stops, deadline, agreement, *last]
    if card and profile.hardware.pause_above_celsius:
        stops.append(CoolDown(attempt, card, profile.hardware.pause_above_celsius))
    reporter = Reporter(attempt, sampler, card, book_judge)
    return [
        AnswerQuestions(attempt, reporter, profile, form, limit),
        *stops,
        deadline,
        agreement,
        reporter,
        *([trackers] if trackers else []),
        *last,
    ]
