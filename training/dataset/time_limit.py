"""How many steps of a run fit into a time. The trainer fits its run with it, and the app forecasts with it."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple


class Durations(NamedTuple):
    """The seconds that the parts of a run take. `end` is the time from the last step to the saved adapter."""

    step: float
    evaluation: float = 0.0
    checkpoint: float = 0.0
    end: float = 0.0


def count_fitting_steps(
    seconds: float, durations: Durations, planned: int, *, done: int = 0, eval_steps: int = 0, save_steps: int = 0
) -> int:
    """Count the steps that a run has taken when it ends after `seconds` more, at most `planned`. It has taken `done`
    steps already. Evaluations and checkpoints, every `eval_steps` and `save_steps` steps (0: never), take their time
    from the steps. Returns `done` if no further step fits."""

    def count_seconds(total: int) -> float:
        between = total - 1  # what happens after the last step is part of `durations.end`
        evaluations = between // eval_steps - done // eval_steps if eval_steps else 0
        checkpoints = between // save_steps - done // save_steps if save_steps else 0
        return (
            (total - done) * durations.step
            + evaluations * durations.evaluation
            + checkpoints * durations.checkpoint
            + durations.end
        )

    return done + bisect_right(range(done + 1, planned + 1), seconds, key=count_seconds)
