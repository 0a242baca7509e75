"""Compares what each max_seq_length costs and keeps, so that a person can choose one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from codex_tui.data.overview import Overview, compute_overview
from codex_tui.machine.forecast import forecast_lengths
from training.contract.profile import Profile
from training.dataset.lengths import Lengths
from training.dataset.scan import Scan
from training.memory.forecast import Forecast

MIN_LENGTH = 128  # the shortest usual length
MAX_POWER = 20  # the contract allows lengths up to 2**20
SHORTEST = 16  # that the contract allows


@dataclass(frozen=True)
class LengthOption:
    """A max_seq_length. `memory` is None where it can't be forecast."""

    max_seq_length: int
    overview: Overview
    memory: Forecast | None = None

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
    """The lengths to choose from, ascending. `no_memory` says why their memory is not known."""

    options: list[LengthOption]
    no_memory: str = ""

    @property
    def longest_fitting(self) -> int | None:
        """The longest length with which the run fits into the card; None if there is none, or no card."""
        return max((option.max_seq_length for option in self.options if option.fits), default=None)

    @property
    def first_whole(self) -> int | None:
        """The shortest length at which every row is whole; None if there is none."""
        return min((option.max_seq_length for option in self.options if not option.overview.truncated), default=None)


def list_lengths(longest: int, own: int) -> list[int]:
    """List the lengths to compare: the powers of two and the lengths halfway between them, up to the `longest` row. The
    profile's `own` is one of them."""
    usual = [length for power in range(MAX_POWER) for length in (2**power, 3 * 2**power // 2)]
    last = min(max(longest, SHORTEST), 2**MAX_POWER)
    return sorted({*(length for length in usual if MIN_LENGTH <= length < last), last, own})


def compare_lengths(
    scan: Scan, lengths: Lengths, profile: Profile, tokens_per_second: float | None = None
) -> LengthOptions:
    """Compute the figures of every length. The memory is not forecast yet."""
    longest = max(lengths.token_counts, default=0)
    return LengthOptions(
        [
            LengthOption(
                length, compute_overview(scan, lengths, profile.with_max_seq_length(length), tokens_per_second)
            )
            for length in list_lengths(longest, profile.model.max_seq_length)
        ]
    )


def add_memory(choice: LengthOptions, profile: Profile, path: Path, card_mib: float | None = None) -> LengthOptions:
    """Add the forecast of every length. `path` is the file of `profile`. Call this in a thread: it asks the driver."""
    lengths = [option.max_seq_length for option in choice.options]
    forecasts, reason = forecast_lengths(profile, path, lengths, card_mib)
    if not forecasts:
        return replace(choice, no_memory=reason)
    return LengthOptions(
        [replace(option, memory=memory) for option, memory in zip(choice.options, forecasts, strict=True)]
    )
