"""The questions of a book while a run trains: what happens without memory for the answers, and at a stop."""

from __future__ import annotations

from support.training_runs import Trainer


def test_answers_without_memory_end_no_run_and_a_stop_request_ends_the_questions(trainer: Trainer) -> None:
    roomy, narrow, stopped, none = trainer.run_program("book_answers", "ask")
    rate = [10, 4, 5, 2, 2]  # only the answer to question 3 is wrong; questions 1 and 2 are trained
    assert roomy == [[["evaluating", 1, 5, "questions"], rate], [5]]
    assert narrow == [[["evaluating", 1, 5, "questions"], rate], [5, 2, 2, 1]]
    assert stopped == [[], [5, 2]]
    assert none == [
        [
            [
                "There is no pass rate at step 10. The answer to 2 tokens needs more GPU memory than is free. Later "
                "evaluations try it again."
            ]
        ],
        [5, 2, 1, 5, 2, 1],
    ]
