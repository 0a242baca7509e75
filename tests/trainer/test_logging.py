"""What a run logs when its loss is logged less often than it takes steps."""

from __future__ import annotations

import math

from support.training_runs import Trainer, demo_profile, events


def test_the_last_step_is_logged_whatever_logging_steps_is(trainer: Trainer) -> None:
    settings = {"max_steps": 3, "logging_steps": 50}
    run = trainer.run("sparse", demo_profile(training=settings, evaluation={"eval_steps": 2}))
    assert trainer.train(run) == 0, run.log.read_text()
    [logged] = events(run, "metrics")
    assert logged["step"] == 3
    assert math.isfinite(logged["loss"]) and logged["tokens_per_second"] > 0
    [warned] = events(run, "warning")
    assert warned["message"] == (
        "The loss is logged every 50 steps, and the run has 3 steps: it shows one loss, at the end. "
        "To see the loss fall, set training.logging_steps = 1."
    )
    [resolved] = events(run, "resolved")
    assert (resolved["eval_steps"], resolved["save_steps"]) == (2, 200)
    assert [event["step"] for event in events(run, "eval")] == [2, 3]
    [checkpoint] = events(run, "checkpoint")
    assert (checkpoint["step"], checkpoint["seconds"] > 0) == (3, True)
