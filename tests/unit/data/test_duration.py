"""The time that a run will take for its steps, and for the questions of its book."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from codex_tui.base import locations
from codex_tui.data.duration import Duration, forecast_book, forecast_duration
from codex_tui.data.overview import compute_overview
from codex_tui.machine import forecast
from codex_tui.profiles.resolve import load_profile
from training.contract.profile import Profile
from training.dataset.lengths import Lengths
from training.dataset.scan import Scan
from training.memory.speed import Speed

SHIPPED = locations.shipped_profiles() / "rtx3050-4gb.toml"
LAPTOP = forecast.Card("NVIDIA GeForce RTX 3050 Laptop GPU", 4096.0, 3790.0, 306.0)
PROFILE = Profile.model_validate(
    {"model": {"name": "demo:llama"}, "evaluation": {"eval_steps": 75}, "dataset": {"eval_fraction": 0.0}}
)


def test_each_token_of_an_answer_is_a_forward_pass_over_the_text_before_it() -> None:
    """Measured with the demo on two busy cores: 40 questions took 2.3 to 5.4 s at each of 8 evaluations."""
    lengths = Lengths()
    for _ in range(400):
        lengths.add([(50, [(30, 50)])])  # 30 tokens of a question, 20 of an answer
    overview = compute_overview(Scan(bytearray(400), array("I", range(400))), lengths, PROFILE)
    duration = Duration(100.0, 200.0, 600, Speed(slow=1_000, fast=2_000))
    book = forecast_book(PROFILE, overview, duration, questions=40)
    passes = 8 * 40 * sum(range(30, 50))  # evaluations, questions, and the tokens before each token of an answer
    assert book.rounds == 8
    assert book.longest == pytest.approx(passes / 3_000, rel=0.03)
    assert book.shortest == pytest.approx(book.longest / 2)
    assert forecast_book(PROFILE, overview, replace(duration, steps=601), questions=40).rounds == 9  # and at the end
    unset = PROFILE.with_value("evaluation.eval_steps", None)
    assert forecast_book(unset, overview, duration, questions=40).rounds == 10


def test_the_time_of_a_run_here_is_estimated_for_its_card_or_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile(SHIPPED).with_value("dataset.eval_fraction", 0.0)
    profile = profile.with_value("training.num_train_epochs", 2.0)
    lengths = Lengths()
    for _ in range(16_069):
        lengths.add([(163, [(63, 163)])])
    scan = Scan(bytearray(16_069), array("I", range(16_069)))
    overview = compute_overview(scan, lengths, profile)
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    resources = forecast.forecast_resources(profile, SHIPPED)
    duration = forecast_duration(resources, overview)
    assert duration and not duration.speed.measured
    assert duration.epochs == pytest.approx(2)
    shortest, longest = duration.epoch
    assert 1.5 * 3600 < shortest < longest < 3 * 3600  # docs/measurements.md: 1.7 to 2.6 hours
    assert 2 * longest == pytest.approx(duration.longest)
    measured = forecast_duration(resources, overview, 163.0)
    assert measured and measured.speed.measured
    assert measured.epoch == pytest.approx((16_069, 16_069))
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": None)
    assert forecast_duration(forecast.forecast_resources(profile, SHIPPED), overview) is None
    assert forecast_duration(resources, compute_overview(scan, None, profile), 163.0) is None
