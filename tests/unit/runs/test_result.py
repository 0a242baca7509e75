"""The sentences about a run that is done."""

from __future__ import annotations

import pytest

from codex_tui.runs.result import describe_evaluations, describe_losses, describe_time
from training.contract import events as ev
from training.history.reduce import reduce
from training.history.state import RunState


def make_state(*losses: float | None) -> RunState:
    state = RunState()
    events: list[ev.Event] = [ev.Started(attempt=1, pid=1, time=100.0)]
    events += [ev.Metrics(step=1, loss=2.5), ev.Metrics(step=2, loss=1.5)]
    events += [ev.Eval(step=75 * number, eval_loss=loss) for number, loss in enumerate(losses, 1)]
    events.append(ev.Done(step=300, time=668.0))
    for number, event in enumerate(events):
        event.seq = number
        reduce(state, event)
    return state


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        ([0.2836, 0.22, 0.1804, 0.1885], "Eval loss 0.2836 → 0.1885, best 0.1804 at step 225 (worse since)."),
        ([0.2836, 0.1804], "Eval loss 0.2836 → 0.1804, the best."),
        ([0.2836, 0.1804, 0.1804], "Eval loss 0.2836 → 0.1804, the best."),
        ([0.2836], "Eval loss 0.2836."),
        ([0.2836, None, 0.1], "Eval loss 0.2836 → 0.1000, the best."),
        ([], "Loss 2.5000 → 1.5476, without an evaluation."),
    ],
)
def test_the_losses_are_told_in_a_sentence(losses: list[float | None], sentence: str) -> None:
    assert describe_losses(make_state(*losses)) == sentence


def test_a_run_without_a_loss_has_no_sentence_about_losses() -> None:
    assert describe_losses(RunState()) == ""
    assert describe_time(RunState()) == "Done."


def test_the_time_is_that_of_the_whole_run() -> None:
    assert describe_time(make_state(0.5)) == "Done in 9:28."


@pytest.mark.parametrize(
    ("passes", "sentence"),
    [
        ([0, 17, 26], "Passes 0 → 26 of 40 questions, the most."),
        ([0, 28, 26], "Passes 0 → 26 of 40 questions, most 28 at step 20."),
        ([26], "Passes 26 of 40 questions."),
    ],
)
def test_the_pass_rate_is_told_after_the_losses(passes: list[int], sentence: str) -> None:
    state = make_state(0.2836)
    for number, count in enumerate(passes, 1):
        reduce(state, ev.PassRate(step=10 * number, passes=count, questions=40))
    assert describe_evaluations(state) == f"Eval loss 0.2836. {sentence}"
    assert describe_evaluations(make_state(0.2836)) == "Eval loss 0.2836."
