"""Compares what each max_seq_length costs and keeps, so that a person can choose one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from codex_tui.data.overview import Overview, compute_overview
from codex_tui.machine.forecast import Card, LengthForecasts
from training.contract.profile import Profile
from training.dataset.lengths import Lengths
from training.dataset.scan import Scan
from training.memory.forecast import Forecast
from training.memory.speed import Speed, estimate_speed

MIN_LENGTH = 128  # the shortest usual length
MAX_POWER = 20  # the contract allows lengths up to 2**20
SHORTEST = 16  # that the contract allows


@dataclass(frozen=True)
class LengthOption:
    """A max_seq_length. `memory` is None where it can't be forecast, and `estimated_speed` where the card or the model
    is not known."""

    max_seq_length: int
    overview: Overview
    memory: Forecast | None = None
    estimated_speed: Speed | None = None

    @property
    def epoch_seconds(self) -> tuple[float, float] | None:
        """The shortest and the longest time of an epoch, which are equal if the speed was measured; None if no speed is
        known."""
        overview, speed = self.overview, self.estimated_speed
        if overview.seconds_per_epoch is not None:
            return overview.seconds_per_epoch, overview.seconds_per_epoch
        if speed is None or overview.train_tokens is None:
            return None
        return overview.train_tokens / speed.fast, overview.train_tokens / speed.slow

    @property
    def whole_rows(self) -> int:
        """The rows that the cut leaves as they are."""
        overview = self.overview
        return overview.kept - (overview.refused or 0) - (overview.truncated or 0)

    @property
    def fits(self) -> bool | None:
        """Whether the run fits into the card; None where it is not known."""
        return self.memory.fits if self.memory else None


@dataclass(frozen=True)
class LengthOptions:
    """The lengths to choose from, ascending, for a run of `profile`, whose own length is one of them. `no_memory` says
    why their memory is not known. `card` is the GPU of this machine; without one, the memory may have been compared
    with another card."""

    options: list[LengthOption]
    profile: Profile
    tokens_per_second: float | None = None
    no_memory: str = ""
    card: Card | None = None

    @property
    def own_length(self) -> int:
        """The profile's own max_seq_length."""
        return self.profile.model.max_seq_length

    @property
    def long_rows(self) -> str:
        """What happens to longer rows."""
        return self.profile.dataset.long_rows

    @property
    def limit_mib(self) -> float | None:
        """The memory that the run may use; None if it is not known."""
        memory = self.options[0].memory
        return memory.limit_mib if memory else None

    @property
    def lengths(self) -> list[int]:
        return [option.max_seq_length for option in self.options]

    def with_memory(self, forecasts: LengthForecasts) -> LengthOptions:
        """Return these lengths with the forecast of each of them."""
        if not forecasts.memory:
            return replace(self, no_memory=forecasts.reason, card=forecasts.card)
        options = [
            replace(option, memory=memory, estimated_speed=_estimate_speed(option, memory, profile, forecasts))
            for option, memory, profile in zip(self.options, forecasts.memory, forecasts.profiles, strict=True)
        ]
        return replace(self, options=options, no_memory="", card=forecasts.card)

    @property
    def has_estimated_time(self) -> bool:
        """Whether the time of an epoch is an estimate for this card."""
        return self.tokens_per_second is None and any(option.estimated_speed for option in self.options)

    def starts(self, option: LengthOption) -> bool:
        """Whether a run with the length of `option` starts."""
        return self.long_rows != "refuse" or not option.overview.truncated

    @property
    def longest_fitting(self) -> int | None:
        """The longest length with which the run fits into the card; None if there is none, or no card."""
        return max((option.max_seq_length for option in self.options if option.fits), default=None)

    @property
    def first_whole(self) -> int | None:
        """The shortest length at which every row is whole; None if there is none."""
        return min((option.max_seq_length for option in self.options if not option.overview.truncated), default=None)


def _estimate_speed(
    option: LengthOption, memory: Forecast, profile: Profile, forecasts: LengthForecasts
) -> Speed | None:
    """The speed with the length of `option`. `profile` has it, and its passes."""
    overview, shape, card = option.overview, forecasts.shape, forecasts.card
    if shape is None or card is None or not overview.train_tokens or not overview.train_sequences:
        return None
    profile = profile.with_value("model.offload_layers", memory.offload_layers)
    return estimate_speed(profile, shape, card.name, overview.train_tokens / overview.train_sequences)


def list_lengths(longest: int, *own: int) -> list[int]:
    """List the lengths to compare: the powers of two and the lengths halfway between them, up to the `longest` row. The
    profile's `own` is one of them, and each other one that a person asks for."""
    usual = [length for power in range(MAX_POWER) for length in (2**power, 3 * 2**power // 2)]
    last = min(max(longest, SHORTEST), 2**MAX_POWER)
    return sorted({*(length for length in usual if MIN_LENGTH <= length < last), last, *own})


def compare_lengths(
    scan: Scan, lengths: Lengths, profile: Profile, tokens_per_second: float | None = None, others: Iterable[int] = ()
) -> LengthOptions:
    """Compute the figures of every length, also of `others`. The memory is not forecast yet."""
    longest = max(lengths.token_counts, default=0)
    return LengthOptions(
        [
            LengthOption(
                length, compute_overview(scan, lengths, profile.with_max_seq_length(length), tokens_per_second)
            )
            for length in list_lengths(longest, profile.model.max_seq_length, *others)
        ],
        profile,
        tokens_per_second,
    )
