"""Parks the run by the rules of its profile, and brings it back; see `rules.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.contract.config import RunConfig
from training.contract.events import ENDS_BY_HAND
from training.contract.hours import format_minutes, read_minute
from training.contract.loan import list_loans
from training.contract.run_directory import RunDirectory
from training.keeper.rules import Obstacle, ParkWatch, ResumeWatch, RuleName, Rules, TrainerFacts, find_obstacles
from training.keeper.run_config import read_config
from training.keeper.surroundings import Facts, Surroundings
from training.keeper.trainer_memory import TrainerMemory
from training.keeper.watchers import Hold, Moment, Release
from training.memory.visible_gpu import read_devices

LOOK_SECONDS = 10.0
SHOWN_SECONDS = 60.0  # a reason is shown for so long at least, so that a restless card writes few events


@dataclass
class RuleWatcher:
    """Holds the run while a rule speaks against it.

    A person who resumes the run overrides the rules that hold then, each until it has been clear once.
    """

    run: RunDirectory
    config: RunConfig
    seconds: float = field(default_factory=lambda: LOOK_SECONDS)

    def __post_init__(self) -> None:
        self._rules = Rules.read(self.config.profile)
        self._surroundings = Surroundings(*read_devices(self.config.profile))
        self._memory = TrainerMemory(self.run.events)
        self._trained_on_gpu = self.config.trained_on_gpu
        self._park = ParkWatch(self._rules)
        self._resume: ResumeWatch | None = None  # while this watcher holds the run
        self._lent: ResumeWatch | None = None  # while a person has parked the run, if a rule may bring it back
        self._was_borrowed = False  # another program has had the card's memory since then
        self._shown: tuple[RuleName | None, float, Hold] | None = None
        self._resumed_at: float | None = None
        self._is_queued = False
        self._looked_at: float | None = None
        self._now = 0.0

    def look(self, moment: Moment) -> Hold | Release | None:
        self._now += self._count_seconds(moment)
        by_hand = self._is_resumed_by_hand(moment)
        self._is_queued = moment.card_is_taken
        if moment.trainer is not None:
            return self._look_at_trainer(moment)
        self._park.rest()
        if by_hand:
            self._resume = None
            self._park.override(self._read_facts(), self._describe_trainer())
        is_parked_by_hand = self._resume is None and moment.held is not None and moment.held.ends in ENDS_BY_HAND
        answer: Hold | Release | None = None
        if is_parked_by_hand:
            answer = self._look_at_lent() if self._rules.resume_lent else None
        else:
            self._lent, self._was_borrowed = None, False
            # The memory that a chat takes with the run's leave is no reason to wait after it.
            answer = None if list_loans(moment.run) else self._look_at_held(moment)
        if self._resume is None and self._lent is None:
            self._surroundings.close_cards()
        return answer

    def _count_seconds(self, moment: Moment) -> float:
        """Count the seconds since the last look. Nobody looked while the machine slept, so that does not count."""
        last = moment.now if self._looked_at is None else self._looked_at
        return min(moment.now - last, 2 * self.seconds)

    def _is_resumed_by_hand(self, moment: Moment) -> bool:
        """Whether a person has resumed the run since the last look. A keeper that begins with a later attempt than the
        first was started by `codex-tui resume`."""
        by_hand = moment.resumed_at != self._resumed_at and moment.resumed_at is not None
        by_hand = by_hand or (self._looked_at is None and moment.attempt > 1)
        self._looked_at, self._resumed_at = moment.now, moment.resumed_at
        return by_hand

    def _look_at_trainer(self, moment: Moment) -> Hold | None:
        self._memory.poll(moment.run.events)
        if not self._rules.can_park:
            return None
        obstacle = self._park.look(self._read_facts(), self._describe_trainer(runs=True), self._now)
        if obstacle is None:
            return None
        self._resume = self._resume or ResumeWatch(self._rules, self._park.overrides)
        return self._show(obstacle.rule, obstacle.hold)

    def _look_at_held(self, moment: Moment) -> Hold | None:
        if self._resume is None:
            self._trained_on_gpu = self._trained_on_gpu or read_config(moment.run).trained_on_gpu
            if (obstacle := self._find_obstacle_to_start()) is None:
                return None
            self._resume = ResumeWatch(self._rules, self._park.overrides)
        facts = self._read_facts(with_cards=False)
        if self._resume.needs_cards(facts):
            facts = self._read_facts(with_cards=True)
        else:
            self._surroundings.close_cards()
        standing = self._resume.look(facts, self._describe_trainer(), self._now)
        if standing.may_resume:
            self._resume = self._shown = None
            return None
        if (obstacle := standing.obstacle) is not None:
            return self._show(obstacle.rule, obstacle.hold)
        until = facts.time + standing.resumes_in
        since = until - self._rules.resume_after_seconds
        reason = f"Nothing has spoken against the run since {format_minutes(read_minute(since))}."
        ends = f"It continues at {format_minutes(read_minute(until))} if that stays so."
        return self._show(None, Hold("parked", reason, ends, round(until)))

    def _look_at_lent(self) -> Release | None:
        """Bring back a run that a person has parked, once another program has had its memory and has left it free."""
        self._lent = self._lent or ResumeWatch(self._rules, self._park.overrides)
        facts, trainer = self._read_facts(with_cards=True), self._describe_trainer()
        obstacles = find_obstacles(self._rules, facts, trainer, to_resume=True)
        self._was_borrowed = self._was_borrowed or any(obstacle.rule in ("memory", "others") for obstacle in obstacles)
        standing = self._lent.look(facts, trainer, self._now)
        return Release() if self._was_borrowed and standing.may_resume else None

    def _find_obstacle_to_start(self) -> Obstacle | None:
        """Find what speaks against the start of an attempt that no rule has held yet."""
        trainer = self._describe_trainer()
        facts = self._read_facts(with_cards=self._rules.need_cards or trainer.on_gpu)
        obstacles = find_obstacles(self._rules, facts, trainer, to_resume=False)
        return next((obstacle for obstacle in obstacles if obstacle.rule not in self._park.overrides), None)

    def _read_facts(self, *, with_cards: bool | None = None) -> Facts:
        """Read what the rules need, or more of it."""
        with_cards = self._rules.need_cards if with_cards is None else with_cards
        return self._surroundings.read(with_battery=self._rules.park_on_battery, with_cards=with_cards)

    def _describe_trainer(self, *, runs: bool = False) -> TrainerFacts:
        measured = self._memory.needed_mib
        on_gpu = self._trained_on_gpu or measured is not None
        needed = self.config.forecast_mib if measured is None else measured
        return TrainerFacts(runs, self._memory.held_mib, needed, on_gpu, self._is_queued and not runs)

    def _show(self, rule: RuleName | None, hold: Hold) -> Hold:
        """Return `hold`, or the one that is shown already: its figures change all the time, and each change would be
        written as an event."""
        if self._shown is not None:
            shown_rule, since, shown = self._shown
            is_same = shown_rule == rule and abs((hold.until or 0.0) - (shown.until or 0.0)) < LOOK_SECONDS
            if is_same or self._now - since < SHOWN_SECONDS:
                return shown
        self._shown = (rule, self._now, hold)
        return hold
