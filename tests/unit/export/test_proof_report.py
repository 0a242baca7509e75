"""What a proof says of answers, without a model."""

from __future__ import annotations

import msgspec
import pytest

from codex_tui.export.proof_report import Comparison, ProofReport, format_summary, format_text, make_report
from training.contract.export_messages import Exported, ProofQuestion
from training.contract.judgement import Answer, EndReason, Loss, Question


def make_pair(
    place: int = 0,
    text: str = "right",
    ended: EndReason = "eos",
    prompt: tuple[int, ...] = (1, 2),
    loss: float = 1.0,
    run_ended: EndReason = "eos",
) -> Comparison:
    """A question that the run answers with "right"; what the exported model makes of it is given."""
    question = Question(
        id=f"line {place}", messages=[{"role": "user", "content": f"Question {place}?"}], reference="right"
    )
    return Comparison(
        ProofQuestion(
            question=question, messages=question.messages, prompt_ids=[1, 2], reference_ids=[3, 4], as_trained=True
        ),
        Answer(text="right", tokens=2, ended=run_ended),
        Loss(total=2.0, tokens=2),
        Exported(
            prompt_ids=list(prompt),
            answer=Answer(text=text, tokens=2, ended=ended),
            loss=Loss(total=2 * loss, tokens=2),
        ),
    )


def report(*pairs: Comparison, of: str = "Q4_K_M") -> ProofReport:
    return make_report("run-1", of, "held-out", 64, pairs)


def test_the_headline() -> None:
    pairs = [make_pair(place, loss=1.02) for place in range(29)]
    proven = report(*pairs, make_pair(29, text="wrong", loss=1.02))
    assert proven.headline == "29 of 30 answers identical at Q4_K_M, loss per token +0.02"
    assert proven.problems == []
    assert list(format_text(proven)) == [
        "29 of 30 answers identical at Q4_K_M, loss per token +0.02.",
        "Asked: 30 held-out questions, the likeliest answer to each.",
        "Prompts: 30 of 30 are the run's, token by token; 30 are prompts of the training.",
        "Ends: 30 answers end by themselves; in the run 30.",
        "chrF with the right answers: 96.9; the run 100.0.",
        "Loss per token: 1.020; the run 1.000.",
        "",
        "line 29: Question 29?",
        "  run:      right",
        "  exported: wrong",
    ]


@pytest.mark.parametrize(("loss", "shown"), [(0.999, "+0.00"), (1.001, "+0.00"), (0.95, "-0.05")])
def test_a_zero_has_no_minus(loss: float, shown: str) -> None:
    assert report(make_pair(loss=loss)).headline.endswith(f"loss per token {shown}")


def test_another_prompt_is_a_problem_already_once() -> None:
    proven = report(*[make_pair(place) for place in range(29)], make_pair(29, prompt=(1, 2, 2)))
    assert proven.same_prompts == 29
    assert proven.problems == [
        "1 of 30 prompts differ from those of the run: the exported model has another chat template or another "
        "tokenizer."
    ]


@pytest.mark.parametrize(("endless", "is_problem"), [(3, False), (4, True), (30, True)])
def test_answers_without_an_end(endless: int, is_problem: bool) -> None:
    pairs = [make_pair(place, ended="length" if place < endless else "eos") for place in range(30)]
    proven = report(*pairs)
    assert proven.ended.exported == 30 - endless
    assert bool(proven.problems) == is_problem
    if is_problem:
        assert proven.problems[0].startswith(f"{endless} of 30 answers that end in the run do not end")


def test_answers_that_do_not_end_in_the_run_either_are_no_problem() -> None:
    pairs = [make_pair(place, ended="length", run_ended="length") for place in range(30)]
    assert report(*pairs).problems == []


def test_other_weights() -> None:
    proven = report(make_pair(loss=1.6))
    assert proven.problems == [
        "Its loss per token is 1.60, and that of the run 1.00: these are not the weights of the run, or their number "
        "type is too coarse."
    ]


def test_a_card_has_the_figures_and_no_text_of_the_dataset() -> None:
    proven = report(make_pair(0), make_pair(1, text="wrong"))
    facts = proven.summarise()
    assert "answers" not in facts
    text = format_summary(msgspec.json.decode(msgspec.json.encode(facts)))
    assert text.startswith("- 1 of 2 answers identical at Q4_K_M, loss per token +0.00.\n- Asked: 2 held-out questions")
    assert "Question" not in text
    assert format_summary({"headline": "from elsewhere"}) == ""
