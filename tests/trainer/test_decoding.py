"""The loop that decodes with CUDA graphs gives the words of the plain one. A CPU repeats a step instead of recording
it."""

from __future__ import annotations

import pytest
from support.training_runs import Trainer


def test_its_tokens_and_text_are_those_of_the_plain_loop(trainer: Trainer) -> None:
    for same, same_text, tokens, failure in trainer.run_program("decoding", "compare_with_plain"):
        assert same and same_text and tokens > 1 and failure is None


@pytest.mark.gpu
def test_graphs_give_the_tokens_of_the_plain_loop(trainer: Trainer) -> None:
    for same, same_text, tokens, failure in trainer.run_program("decoding", "compare_graphs_with_plain"):
        assert same and same_text and tokens > 1 and failure is None


def test_a_graph_that_computes_something_else_is_not_used(trainer: Trainer) -> None:
    same, failure = trainer.run_program("decoding", "decode_wrong")
    assert same and "logits differ" in failure


def test_decoding_goes_on_without_graphs_where_none_can_be_recorded(trainer: Trainer) -> None:
    assert trainer.run_program("decoding", "fail_to_record") == [True, "CUDA out of memory."]
