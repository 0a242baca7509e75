"""Forecasts how long a run will take: from the speed measured on this card with this model, else from an estimate."""

from __future__ import annotations

from dataclasses import dataclass

from codex_tui.data.overview import Overview
from codex_tui.machine.forecast import ResourceForecast
from codex_tui.runs.time_left import FORWARD_SHARE
from training.contract.profile import Profile
from training.dataset.split import choose_eval_steps
from training.memory.speed import Speed, estimate_speed


@dataclass(frozen=True)
class Duration:
    """The seconds of a run's training, without its start, evaluations and checkpoints."""

    shortest: float
    longest: float
    steps: int
    speed: Speed
    epochs: float = 1.0

    @property
    def epoch(self) -> tuple[float, float]:
        """The shortest and the longest time of one epoch."""
        return self.shortest / self.epochs, self.longest / self.epochs


def forecast_duration(
    resources: ResourceForecast, overview: Overview, measured_speed: float | None = None
) -> Duration | None:
    """Forecast the duration of the run of `resources` on the rows of `overview`. `measured_speed` is in tokens a
    second. Returns None if the rows are not tokenised, or if no speed is known."""
    if not overview.train_tokens or not overview.row_tokens or not overview.steps_per_epoch:
        return None
    speed = find_speed(resources, overview.row_tokens, measured_speed)
    if speed is None:
        return None
    epochs = overview.total_steps / overview.steps_per_epoch
    tokens = overview.train_tokens * epochs
    return Duration(tokens / speed.fast, tokens / speed.slow, overview.total_steps, speed, epochs)


def find_speed(resources: ResourceForecast, row_tokens: float, measured_speed: float | None = None) -> Speed | None:
    """Return the measured speed, or an estimate for rows of `row_tokens` tokens on this machine's card; None if there
    is neither."""
    if measured_speed:
        return Speed(measured_speed, measured_speed)
    if resources.shape is None or resources.card is None or resources.memory is None:
        return None
    profile = resources.resolved.with_value("model.offload_layers", resources.memory.offload_layers)
    return estimate_speed(profile, resources.shape, resources.card.name, row_tokens)


@dataclass(frozen=True)
class BookDuration:
    """How often a run asks the questions of its book, and the seconds that the answers take in the whole run."""

    rounds: int
    shortest: float
    longest: float


def forecast_book(profile: Profile, overview: Overview, duration: Duration, questions: int) -> BookDuration:
    """Forecast the time of a book's `questions` in a run of `profile` that takes `duration` for its steps. Assumes that
    questions and answers are as long as those of the rows of `overview`.

    The trainer answers without a key-value cache: each token is a forward pass over the whole text before it.
    """
    rounds = -(-duration.steps // choose_eval_steps(profile, duration.steps))
    sequences = max(1, overview.train_sequences)
    answer, row = (overview.learned_tokens or 0) / sequences, (overview.train_tokens or 0) / sequences
    tokens = rounds * questions * answer * (row - answer / 2)
    slow, fast = (speed / FORWARD_SHARE for speed in (duration.speed.slow, duration.speed.fast))
    return BookDuration(rounds, tokens / fast, tokens / slow)
