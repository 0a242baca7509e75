"""The rules of the profile's table [keeper]: when a run is parked, and when it may come back.

The functions are pure: from the facts of one look they find what speaks against training now. The two watches below add
the time, so that a run does not come and go: a rule parks the run only if it has held for some looks, and the run comes
back only if nothing has spoken against it for `resume_after_minutes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from training.contract.config import get_table
from training.contract.events import HeldState
from training.contract.hours import Hours, format_minutes, read_minute
from training.keeper.surroundings import CardFacts, Facts
from training.keeper.watchers import Hold

COOLER = 8  # a run parked for heat comes back at this many °C below the limit
HOLD_SECONDS = 20.0  # a rule parks the run if it has held for so long

RuleName = Literal["hours", "battery", "driver", "celsius", "others", "memory"]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a run, as its profile has them."""

    resume_after_minutes: float = 5.0
    resume_lent: bool = False
    park_above_others_mib: int | None = None
    park_on_battery: bool = False
    park_above_celsius: int | None = None
    hours: str | None = None

    @classmethod
    def read(cls, profile: dict[str, Any]) -> Rules:
        """Read the rules from a resolved profile. A run of an earlier version has none."""
        try:
            rules = msgspec.convert(get_table(profile, "keeper"), cls)
            if rules.hours is not None:
                Hours.parse(rules.hours)
            return rules
        except ValueError:  # a config.json that someone has edited
            return cls()

    @property
    def need_cards(self) -> bool:
        """Whether a rule looks at the cards while the run trains."""
        return self.park_above_others_mib is not None or self.park_above_celsius is not None

    @property
    def can_park(self) -> bool:
        """Whether the run has any rule."""
        return self.need_cards or self.park_on_battery or self.hours is not None

    @property
    def resume_after_seconds(self) -> float:
        return 60 * self.resume_after_minutes


class Obstacle(NamedTuple):
    """What speaks against training now. `reason` and `ends` are sentences: why, and what ends it. `until` is the time,
    in Unix seconds, if it is known."""

    rule: RuleName
    reason: str
    ends: str
    until: float | None = None

    @property
    def hold(self) -> Hold:
        state: HeldState = "waiting" if self.rule in ("hours", "driver") else "parked"
        return Hold(state, self.reason, self.ends, self.until)


class TrainerFacts(NamedTuple):
    """The run's own trainer: whether it runs, the memory that it holds, the memory that the run needs to come back
    (None: not known), and whether it trains on a GPU. `is_queued`: another run has the card, so the run waits for its
    turn, and what that run holds speaks against nothing."""

    runs: bool = False
    held_mib: float | None = None
    needed_mib: float | None = None
    on_gpu: bool = False
    is_queued: bool = False


def find_obstacles(rules: Rules, facts: Facts, trainer: TrainerFacts, *, to_resume: bool) -> Iterator[Obstacle]:
    """Yield what speaks against training now, the clearest reason first.

    With `to_resume`, the run is held: each of its cards must be cool again, its driver must answer, and it must have
    the memory free that the run needs.
    """
    minutes = f"{rules.resume_after_minutes:g} {'minute' if rules.resume_after_minutes == 1 else 'minutes'}"
    for_minutes = f" for {minutes}" if rules.resume_after_minutes else ""
    if rules.hours and not (hours := Hours.parse(rules.hours)).include(facts.time):
        yield Obstacle(
            "hours",
            f"It is {format_minutes(read_minute(facts.time))}, and the run trains from {format_minutes(hours.start)} "
            f"to {format_minutes(hours.end)} (keeper.hours).",
            f"It continues at {format_minutes(hours.start)}.",
            hours.find_next_start(facts.time),
        )
    if rules.park_on_battery and facts.battery and facts.battery.in_use:
        level = "" if facts.battery.percent is None else f", at {facts.battery.percent} %"
        yield Obstacle(
            "battery",
            f"The machine runs on battery{level} (keeper.park_on_battery).",
            f"It continues when the machine has been plugged in{for_minutes}.",
        )
    yield from _find_at_cards(rules, facts.cards, trainer, for_minutes, to_resume=to_resume)


def _find_at_cards(
    rules: Rules, cards: Sequence[CardFacts], trainer: TrainerFacts, for_minutes: str, *, to_resume: bool
) -> Iterator[Obstacle]:
    """Yield what speaks against training on these cards: on the hottest, the fullest, and that with the largest program
    of others."""
    broken = next((card for card in cards if card.problem), None)
    if broken and trainer.on_gpu and not trainer.runs:  # without it, the next trainer would take the CPU
        reason = f"{_capitalise(broken.name)} can't be used: {broken.problem}."
        yield Obstacle("driver", reason, "It continues when the driver answers.")
        return
    limit, hottest = rules.park_above_celsius, max(cards, key=lambda card: card.celsius or 0, default=None)
    if limit is not None and hottest and hottest.celsius is not None:
        goal = limit - COOLER
        if hottest.celsius > goal if to_resume else hottest.celsius >= limit:
            yield Obstacle(
                "celsius",
                f"{_capitalise(hottest.name)} has {hottest.celsius} °C, and the limit is {limit} °C "
                "(keeper.park_above_celsius).",
                f"It continues when {hottest.name} has been at {goal} °C or less{for_minutes}.",
            )
    if trainer.is_queued:
        return
    max_others, others_of = rules.park_above_others_mib, [(find_others(card, trainer), card.name) for card in cards]
    most, name = max(((others, name) for others, name in others_of if others), default=(None, ""))
    if max_others is not None and most is not None and most.mib > max_others:
        yield Obstacle(
            "others",
            f"{most} of {name}, more than {max_others:,} MiB (keeper.park_above_others_mib).",
            f"It continues when that has been {max_others:,} MiB or less{for_minutes}.",
        )
    needed = trainer.needed_mib if to_resume else None
    free, name = min(((card.free_mib, card.name) for card in cards if card.free_mib is not None), default=(0.0, ""))
    if needed is not None and name and free < needed:
        yield Obstacle(
            "memory",
            f"The run needs {needed:,.0f} MiB of {name}, and {free:,.0f} MiB are free.",
            f"It continues when they have been free{for_minutes}.",
        )


def _capitalise(name: str) -> str:
    return name[:1].upper() + name[1:]


class Others(NamedTuple):
    """The memory that programs beside the run's trainer hold. `name` is the largest of them, "" if nobody tells."""

    mib: float
    name: str = ""
    programs: int = 0

    def __str__(self) -> str:
        """As "blender and 2 other programs hold 2,100 MiB"."""
        held = f"{self.mib:,.0f} MiB"
        if not self.name:
            return f"Other programs hold {held}"
        if self.programs == 1:
            return f"{self.name} holds {held}"
        more = self.programs - 1
        return f"{self.name} and {more} other {'program' if more == 1 else 'programs'} hold {held}"


def find_others(card: CardFacts, trainer: TrainerFacts) -> Others | None:
    """Find out how much of the card other programs hold. Returns None if that can't be known, as while the trainer
    loads."""
    others = [program for program in card.programs if not program.is_ours]
    # In a container the driver's pids may be others than ours, and our own trainer must not count as another program.
    if card.lists_memory and (not trainer.runs or len(others) < len(card.programs)):
        largest = max(others, key=lambda program: program.mib or 0.0, default=None)
        return Others(sum(program.mib or 0.0 for program in others), largest.name if largest else "", len(others))
    own = trainer.held_mib if trainer.runs else 0.0
    if own is None or card.used_mib is None:
        return None
    only_name = others[0].name if len(others) == 1 else ""
    return Others(max(0.0, card.used_mib - own), only_name, len(others))


@dataclass
class ParkWatch:
    """Decides at each look whether a rule parks the run that trains.

    `overrides` are the rules that held when a person resumed the run by hand: they park it only after they have been
    clear once.
    """

    rules: Rules
    overrides: set[RuleName] = field(default_factory=set)
    _since: dict[RuleName, float] = field(default_factory=dict)

    def override(self, facts: Facts, trainer: TrainerFacts) -> None:
        """Let the run train although some rules hold: a person has resumed it by hand."""
        obstacles = find_obstacles(self.rules, facts, trainer, to_resume=True)
        self.overrides = {obstacle.rule for obstacle in obstacles if obstacle.rule != "driver"}

    def rest(self) -> None:
        """Forget since when the rules have held, because there is no trainer to park."""
        self._since = {}

    def look(self, facts: Facts, trainer: TrainerFacts, now: float) -> Obstacle | None:
        """Return why to park the run now, or None. `now` is a clock that stands still while the machine sleeps."""
        if self.overrides:
            still_hold = find_obstacles(self.rules, facts, trainer, to_resume=True)
            self.overrides &= {obstacle.rule for obstacle in still_hold}
        obstacles = list(find_obstacles(self.rules, facts, trainer, to_resume=False))
        self._since = {obstacle.rule: self._since.get(obstacle.rule, now) for obstacle in obstacles}
        for obstacle in obstacles:
            waits = 0.0 if obstacle.rule == "hours" else HOLD_SECONDS
            if obstacle.rule not in self.overrides and now - self._since[obstacle.rule] >= waits:
                return obstacle
        return None


class Standing(NamedTuple):
    """How a held run stands: what speaks against it, or in how many seconds it comes back if nothing does."""

    obstacle: Obstacle | None
    resumes_in: float = 0.0

    @property
    def may_resume(self) -> bool:
        return self.obstacle is None and self.resumes_in <= 0


@dataclass
class ResumeWatch:
    """Decides at each look whether a held run comes back. Rules in `overrides` don't count."""

    rules: Rules
    overrides: Collection[RuleName] = ()
    _clear_since: float | None = None

    def needs_cards(self, facts: Facts) -> bool:
        """Whether to look at the cards: not while something else speaks against the run, so that they can sleep."""
        return self._is_clear(self._find(facts, TrainerFacts()), facts)

    def look(self, facts: Facts, trainer: TrainerFacts, now: float) -> Standing:
        """`now` is a clock that stands still while the machine sleeps."""
        obstacles = self._find(facts, trainer)
        if not self._is_clear(obstacles, facts):
            self._clear_since = None
        elif self._clear_since is None:
            self._clear_since = now
        if obstacles or self._clear_since is None:
            return Standing(obstacles[0])
        return Standing(None, max(0.0, self._clear_since + self.rules.resume_after_seconds - now))

    def _find(self, facts: Facts, trainer: TrainerFacts) -> list[Obstacle]:
        obstacles = find_obstacles(self.rules, facts, trainer, to_resume=True)
        return [obstacle for obstacle in obstacles if obstacle.rule not in self.overrides]

    def _is_clear(self, obstacles: list[Obstacle], facts: Facts) -> bool:
        """Whether nothing speaks against the run, or only hours that begin soon: the run comes back when they begin."""
        delay = self.rules.resume_after_seconds
        latest = facts.time + delay
        return all(obstacle.until is not None and obstacle.until <= latest for obstacle in obstacles)
