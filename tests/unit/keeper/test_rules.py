"""The rules of the table [keeper]: pure functions of made-up facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from training.contract.power import Battery
from training.keeper.rules import HOLD_SECONDS, ParkWatch, ResumeWatch, Rules, TrainerFacts, find_obstacles
from training.keeper.surroundings import CardFacts, Facts, Program
from training.keeper.watchers import Hold

GAME = Program("blender", 2100.0)
OURS = Program("python3", 2300.0, is_ours=True)
QUIET = CardFacts(used_mib=2500.0, total_mib=4096.0, celsius=60, programs=(OURS,), lists_memory=True)
FREE = CardFacts(used_mib=10.0, total_mib=4096.0, celsius=50, lists_memory=True)
TRAINING = TrainerFacts(runs=True, held_mib=2300.0, needed_mib=2600.0, on_gpu=True)
HELD = TrainerFacts(needed_mib=2600.0, on_gpu=True)
NOON = 12 * 3600.0
LOOK = 10.0


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def find(facts: Facts, trainer: TrainerFacts, **rules: Any) -> list[str]:
    found = find_obstacles(Rules(**rules), facts, trainer, to_resume=not trainer.runs)
    return [obstacle.reason for obstacle in found]


def on_card(card: CardFacts, **changes: Any) -> Facts:
    return Facts(NOON, cards=(replace(card, **changes),))


def test_of_several_cards_the_worst_one_counts() -> None:
    calm, other = replace(QUIET, name="GPU 0"), replace(QUIET, name="GPU 1")
    game = replace(QUIET, name="GPU 1", celsius=85, programs=(OURS, GAME), used_mib=4000.0)
    assert find(Facts(NOON, cards=(calm, game)), TRAINING, park_above_celsius=80, park_above_others_mib=800) == [
        "GPU 1 has 85 °C, and the limit is 80 °C (keeper.park_above_celsius).",
        "blender holds 2,100 MiB of GPU 1, more than 800 MiB (keeper.park_above_others_mib).",
    ]
    assert find(Facts(NOON, cards=(replace(FREE, name="GPU 0"), game)), HELD) == [
        "The run needs 2,600 MiB of GPU 1, and 96 MiB are free."
    ]
    broken = CardFacts(problem="the NVIDIA driver is not loaded", name="GPU 0")
    assert find(Facts(NOON, cards=(broken, other)), HELD) == ["GPU 0 can't be used: the NVIDIA driver is not loaded."]
    assert find(Facts(NOON, cards=(broken, game)), TRAINING, park_above_celsius=80) == [
        "GPU 1 has 85 °C, and the limit is 80 °C (keeper.park_above_celsius)."
    ]


def test_without_rules_nothing_parks_a_run() -> None:
    hot = on_card(QUIET, celsius=99, programs=(OURS, GAME), used_mib=4090.0)
    assert find(replace(hot, battery=Battery(True, 3)), TRAINING) == []


def test_each_rule_says_its_figures() -> None:
    game = on_card(QUIET, programs=(OURS, GAME))
    assert find(game, TRAINING, park_above_others_mib=800) == [
        "blender holds 2,100 MiB of the card, more than 800 MiB (keeper.park_above_others_mib)."
    ]
    assert find(Facts(NOON, Battery(True, 74)), TRAINING, park_on_battery=True) == [
        "The machine runs on battery, at 74 % (keeper.park_on_battery)."
    ]
    assert find(on_card(QUIET, celsius=87), TRAINING, park_above_celsius=87) == [
        "The card has 87 °C, and the limit is 87 °C (keeper.park_above_celsius)."
    ]
    (hours,) = find_obstacles(Rules(hours="23:00-07:00"), Facts(NOON), TRAINING, to_resume=False)
    assert hours.reason == "It is 12:00, and the run trains from 23:00 to 07:00 (keeper.hours)."
    assert hours.hold == Hold("waiting", hours.reason, "It continues at 23:00.", 23 * 3600.0)


def test_below_its_limit_no_rule_holds() -> None:
    others = on_card(QUIET, programs=(OURS, replace_mib(GAME, 800.0)), celsius=86)
    assert find(others, TRAINING, park_above_others_mib=800, park_above_celsius=87) == []
    assert find(Facts(NOON, Battery(False, 74)), TRAINING, park_on_battery=True) == []
    assert find(Facts(NOON), TRAINING, park_on_battery=True, hours="09:00-17:00") == []


def replace_mib(program: Program, mib: float | None) -> Program:
    return program._replace(mib=mib)


def test_several_programs_are_added_and_the_largest_is_named() -> None:
    card = on_card(QUIET, programs=(Program("Xorg", 300.0), OURS, GAME, Program("firefox", 600.0)))
    assert find(card, TRAINING, park_above_others_mib=2999)[0].startswith(
        "blender and 2 other programs hold 3,000 MiB of the card"
    )
    assert find(card, TRAINING, park_above_others_mib=3000) == []


def test_under_wsl2_the_rest_of_the_used_memory_belongs_to_others() -> None:
    """The driver shows no program, or some without their memory."""
    nobody = on_card(QUIET, used_mib=3500.0, programs=(), lists_memory=False)
    assert find(nobody, TRAINING, park_above_others_mib=800)[0].startswith("Other programs hold 1,200 MiB")
    named = on_card(QUIET, used_mib=3500.0, programs=(replace_mib(GAME, None),), lists_memory=False)
    assert find(named, TRAINING, park_above_others_mib=800)[0].startswith("blender holds 1,200 MiB")
    assert find(nobody, TRAINING, park_above_others_mib=1200) == []


def test_the_runs_own_trainer_is_never_another_program() -> None:
    """While it loads nobody knows how much it holds, and in a container the driver gives it another pid."""
    loading = TRAINING._replace(held_mib=None)
    elsewhere = on_card(QUIET, programs=(Program("python3", 2300.0),))
    assert find(elsewhere, loading, park_above_others_mib=1) == []
    assert find(on_card(QUIET, programs=()), TRAINING, park_above_others_mib=300) == []
    assert find(elsewhere, TRAINING, park_above_others_mib=800) == []
    # A parked run has no trainer, so that every program is another one. What the driver itself uses is none.
    assert find(elsewhere, HELD, park_above_others_mib=800) != []
    assert find(on_card(FREE, used_mib=500.0), HELD, park_above_others_mib=400) == []


def test_a_held_run_needs_its_memory_and_a_cool_card() -> None:
    assert find(on_card(FREE), HELD, park_above_celsius=80) == []
    assert find(on_card(FREE, used_mib=2000.0), HELD) == [
        "The run needs 2,600 MiB of the card, and 2,096 MiB are free."
    ]
    assert find(on_card(FREE, celsius=73), HELD, park_above_celsius=80) != []
    assert find(on_card(FREE, celsius=72), HELD, park_above_celsius=80) == []


def test_what_another_run_of_the_queue_holds_speaks_against_nothing() -> None:
    taken = on_card(QUIET, programs=(Program("python3", 2300.0),), celsius=79)
    rules = {"park_above_others_mib": 500, "park_above_celsius": 80}
    assert len(find(taken, HELD, **rules)) == 3
    assert find(taken, HELD._replace(is_queued=True), **rules) == [
        "The card has 79 °C, and the limit is 80 °C (keeper.park_above_celsius)."
    ]


def test_only_a_run_on_a_gpu_waits_for_the_driver() -> None:
    lost = Facts(NOON, cards=(CardFacts(problem="the GPU has fallen off the bus: restart the machine"),))
    (driver,) = find_obstacles(Rules(), lost, HELD, to_resume=True)
    assert (driver.rule, driver.hold.state) == ("driver", "waiting")
    assert driver.reason == "The card can't be used: the GPU has fallen off the bus: restart the machine."
    assert find(lost, HELD._replace(on_gpu=False)) == []
    assert find(lost, TRAINING, park_above_others_mib=1) == []  # a trainer that runs is not ended for that


def park_at(watch: ParkWatch, looks: list[Facts]) -> list[int]:
    """Return the numbers of the looks at which the watch wants to park."""
    return [number for number, facts in enumerate(looks) if watch.look(facts, TRAINING, number * LOOK)]


def test_what_lasts_a_moment_parks_nothing() -> None:
    rules = Rules(park_above_others_mib=800, park_on_battery=True, park_above_celsius=80)
    calm = Facts(NOON, Battery(False, 74), (QUIET,))
    game = replace(calm, cards=(replace(QUIET, programs=(OURS, GAME)),))
    unplugged = replace(calm, battery=Battery(True, 74))
    hot = replace(calm, cards=(replace(QUIET, celsius=81),))
    assert park_at(ParkWatch(rules), [calm, game, calm, unplugged, calm, hot, game, unplugged, calm]) == []
    lasting = int(HOLD_SECONDS / LOOK)
    assert park_at(ParkWatch(rules), [calm, *[game] * 4]) == [1 + lasting, 2 + lasting]
    assert park_at(ParkWatch(rules), [game, calm, game, game]) == []


def test_hours_park_at_once() -> None:
    rules = Rules(hours="09:00-12:00")
    assert park_at(ParkWatch(rules), [Facts(NOON - LOOK), Facts(NOON)]) == [1]


def test_a_person_overrides_a_rule_until_it_has_been_clear_once() -> None:
    rules = Rules(park_on_battery=True, park_above_celsius=80)
    unplugged, plugged = Facts(NOON, Battery(True, 74)), Facts(NOON, Battery(False, 74))
    watch = ParkWatch(rules)
    watch.override(unplugged, TRAINING)
    assert park_at(watch, [unplugged] * 50) == []
    assert watch.look(replace(unplugged, cards=(replace(QUIET, celsius=90),)), TRAINING, 1000.0) is None
    parked = watch.look(replace(unplugged, cards=(replace(QUIET, celsius=90),)), TRAINING, 1030.0)
    assert parked is not None and parked.rule == "celsius"  # the person has overridden the battery alone
    watch = ParkWatch(rules)
    watch.override(unplugged, TRAINING)
    assert park_at(watch, [unplugged, plugged, unplugged, unplugged, unplugged]) == [4]


def test_a_temperature_at_its_limit_ends_no_override() -> None:
    watch = ParkWatch(Rules(park_above_celsius=80))
    watch.override(on_card(QUIET, celsius=81), TRAINING)
    around = [on_card(QUIET, celsius=celsius) for celsius in (81, 79, 80, 78, 82, 82, 82, 82)]
    assert park_at(watch, around) == []


def come_back(watch: ResumeWatch, looks: list[Facts], seconds: float = 60.0) -> list[int]:
    return [number for number, facts in enumerate(looks) if watch.look(facts, HELD, number * seconds).may_resume]


def test_a_run_comes_back_when_nothing_has_stood_against_it_for_the_minutes() -> None:
    free, busy = on_card(FREE), on_card(FREE, used_mib=3000.0)
    assert come_back(ResumeWatch(Rules()), [busy, *[free] * 7]) == [6, 7]
    assert come_back(ResumeWatch(Rules()), [free, free, free, busy, *[free] * 6]) == [9]
    assert come_back(ResumeWatch(Rules(resume_after_minutes=0)), [busy, free]) == [1]


def test_a_run_does_not_come_back_between_two_battery_states() -> None:
    rules = Rules(park_on_battery=True)
    plugged, unplugged = Facts(NOON, Battery(False, 74), (FREE,)), Facts(NOON, Battery(True, 74), (FREE,))
    assert come_back(ResumeWatch(rules), [unplugged, plugged, unplugged, plugged, plugged, unplugged]) == []


def test_a_waiting_run_says_when_it_comes_back() -> None:
    watch = ResumeWatch(Rules())
    assert watch.look(on_card(FREE), HELD, 0.0).resumes_in == 300.0
    assert watch.look(on_card(FREE), HELD, 120.0).resumes_in == 180.0


def test_hours_begin_on_time() -> None:
    """The card is watched before they begin, so that `resume_after_minutes` does not come on top."""
    watch, rules = ResumeWatch(Rules(hours="13:00-14:00")), Rules(hours="13:00-14:00")
    looks = [Facts(NOON + minute * 60.0, cards=(FREE,)) for minute in range(62)]
    assert come_back(watch, looks)[0] == 60
    assert [minute for minute in range(62) if ResumeWatch(rules).needs_cards(looks[minute])] == list(range(55, 62))


def test_the_card_sleeps_while_the_battery_speaks_against_the_run() -> None:
    watch = ResumeWatch(Rules(park_on_battery=True))
    assert not watch.needs_cards(Facts(NOON, Battery(True, 40)))
    assert watch.needs_cards(Facts(NOON, Battery(False, 40)))


def test_rules_are_read_from_the_profile_of_any_version() -> None:
    profile = {"keeper": {"hours": "23:00-07:00", "park_above_celsius": 80, "a_later_field": 1}}
    rules = Rules.read(profile)
    assert (rules.hours, rules.park_above_celsius, rules.resume_after_minutes, rules.need_cards) == (
        "23:00-07:00", 80, 5.0, True
    )  # fmt: skip
    assert Rules.read({}) == Rules.read({"keeper": {"hours": "whenever"}}) == Rules.read({"keeper": 3}) == Rules()
