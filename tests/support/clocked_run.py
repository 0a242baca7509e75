"""A run whose events come at times that the test chooses."""

from __future__ import annotations

from itertools import count

from codex_tui.runs.pace import estimate_tokens_per_second
from codex_tui.runs.time_left import estimate_time_left
from training.contract import events as ev
from training.history.reduce import reduce
from training.history.state import RunState


class Clock:
    """Feeds events to a state at times that the test chooses."""

    def __init__(
        self, total: int = 100, eval_steps: int = 0, save_steps: int = 0, book_steps: int = 0, train_tokens: int = 0
    ) -> None:
        self.time, self.state, self._seq = 1e9, RunState(), count()
        resolved = ev.Resolved(
            total_steps=total, steps_per_epoch=25, train_rows=100, eval_rows=12 if eval_steps else 0,
            eval_steps=eval_steps, save_steps=save_steps, book_steps=book_steps, train_tokens=train_tokens,
        )  # fmt: skip
        self.after(0, ev.Started(attempt=1, pid=1))
        self.after(9, resolved, ev.Phase(name="training"))

    def after(self, seconds: float, *events: ev.Event) -> None:
        self.time += seconds
        for event in events:
            event.seq, event.time = next(self._seq), self.time
            self.state = reduce(self.state, event)

    def steps(self, first: int, last: int, seconds: float = 2.0, every: int = 1) -> None:
        for step in range(first, last + 1, every):
            self.after(seconds * every, ev.Metrics(step=step, loss=1.0, tokens=100 * step, tokens_per_second=1.0))

    @property
    def left(self) -> float | None:
        return estimate_time_left(self.state)

    @property
    def speed(self) -> float | None:
        return estimate_tokens_per_second(self.state)


def evaluate(run: Clock, step: int, seconds: float = 30.0) -> None:
    run.after(0, ev.Phase(name="evaluating"))
    run.after(seconds - 10, ev.Eval(step=step, eval_loss=1.0, seconds=seconds - 10))
    run.after(10, ev.Sample(step=step, prompt="p", text="t"))


def save(run: Clock, step: int, seconds: float = 5.0) -> None:
    run.after(0, ev.Phase(name="saving"))
    run.after(seconds, ev.Checkpoint(step=step, path="c", seconds=seconds))
