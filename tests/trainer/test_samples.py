"""The samples of an evaluation: many answers together, the same words as alone, and never the end of a run."""

from __future__ import annotations

from support.training_runs import Trainer

from training.contract.run_directory import RunDirectory


def test_answers_in_batches_are_those_of_one_by_one_also_where_memory_is_short(
    demo: RunDirectory, trainer: Trainer
) -> None:
    found = trainer.run_program("samples", "answer_in_batches", str(demo.path))
    together, sizes = found["together"]
    assert len({*found["prompts"]}) == len(together) == 6
    assert any(together)
    assert sizes == [6]
    assert found["alone"] == [together, [1] * 6]
    assert found["short of memory"] == [together, [6, 3, 1, 1, 1, 1, 1, 1]]
    assert found["without memory"][0] == []
    [warning] = found["warnings"]  # of two evaluations
    assert warning.startswith("There is no sample at step 7. The answer to ")
    assert warning.endswith(" Later evaluations try again.")
