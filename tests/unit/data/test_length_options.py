"""What each max_seq_length keeps and costs."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from codex_tui.base import locations
from codex_tui.data.length_options import compare_lengths, list_lengths
from codex_tui.machine import forecast
from codex_tui.profiles.resolve import load_profile
from training.contract.profile import Profile
from training.dataset.lengths import Lengths
from training.dataset.scan import Scan

LAPTOP = forecast.Card("NVIDIA GeForce RTX 3050 Laptop GPU", 4096.0, 3790.0, 306.0)
SHIPPED = locations.shipped_profiles() / "rtx3050-4gb.toml"


def profile(length: int, long_rows: str = "cut") -> Profile:
    dataset = {"eval_fraction": 0.0, "long_rows": long_rows}
    return Profile.model_validate({"model": {"name": "-", "max_seq_length": length}, "dataset": dataset})


def three_rows() -> tuple[Scan, Lengths]:
    """A short row, a conversation of two answers, a row that is longer than all usual lengths below 1,024."""
    lengths = Lengths()
    lengths.add([(100, [(50, 100)])])
    lengths.add([(300, [(100, 120), (250, 300)])])
    lengths.add([(900, [(800, 900)])])
    return Scan(bytearray(3), array("I", range(3))), lengths


def test_lengths_end_with_the_longest_row_and_have_the_profiles_own() -> None:
    assert list_lengths(900, 2048) == [128, 192, 256, 384, 512, 768, 900, 2048]
    assert list_lengths(1024, 500) == [128, 192, 256, 384, 500, 512, 768, 1024]
    assert list_lengths(40, 128) == [40, 128]
    assert list_lengths(0, 64) == [16, 64]
    assert list_lengths(5_000_000, 2048)[-1] == 1_048_576


def test_each_length_counts_rows_answers_and_learned_tokens() -> None:
    options = compare_lengths(*three_rows(), profile(512), tokens_per_second=10).options
    found = {
        option.max_seq_length: (
            option.whole_rows, option.overview.answers_cut, option.overview.answers_lost,
            option.overview.learned_tokens, option.overview.seconds_per_epoch,
        )
        for option in options
    }  # fmt: skip
    assert found[128] == (1, 0, 2, 70, 22.8)
    assert found[256] == (1, 1, 1, 76, 35.6)
    assert found[512] == (2, 0, 1, 120, 40.0)
    assert found[900] == (3, 0, 0, 220, 130.0)


def test_dropped_rows_lose_all_answers() -> None:
    choice = compare_lengths(*three_rows(), profile(512, "drop"))
    option = choice.options[2]
    assert (option.max_seq_length, option.whole_rows, option.overview.seconds_per_epoch) == (256, 1, None)
    assert (option.overview.answers_cut, option.overview.answers_lost, option.overview.learned_tokens) == (0, 3, 50)
    assert choice.first_whole == 900


def test_memory_is_forecast_for_each_length_and_the_longest_that_fits_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    lengths = Lengths()
    lengths.add([(40_000, [(10, 40_000)])])
    settings = load_profile(SHIPPED)
    choice = compare_lengths(Scan(bytearray(1), array("I", [0])), lengths, settings)
    choice = choice.with_memory(forecast.forecast_lengths(settings, SHIPPED, choice.lengths))
    for option in choice.options:
        alone = forecast.forecast_resources(settings.with_max_seq_length(option.max_seq_length), SHIPPED)
        assert option.memory == alone.memory is not None
    fitting = [option.max_seq_length for option in choice.options if option.fits]
    assert choice.longest_fitting == fitting[-1] < 40_000
    assert 2048 in fitting


def test_memory_that_cannot_be_forecast_is_explained() -> None:
    settings = load_profile(SHIPPED)
    hardware = settings.hardware.model_copy(update={"device": "cpu"})
    settings = settings.model_copy(update={"hardware": hardware})
    choice = compare_lengths(*three_rows(), settings)
    choice = choice.with_memory(forecast.forecast_lengths(settings, SHIPPED, choice.lengths))
    assert choice.no_memory == "It runs on the CPU and takes nothing of a card."
    assert choice.longest_fitting is None


def test_each_length_has_the_estimated_time_of_an_epoch_until_one_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": LAPTOP)
    shipped = load_profile(SHIPPED)
    choice = compare_lengths(*three_rows(), shipped)
    assert not choice.has_estimated_time
    choice = choice.with_memory(forecast.forecast_lengths(shipped, SHIPPED, choice.lengths))
    assert choice.has_estimated_time
    times = {option.max_seq_length: option.epoch_seconds for option in choice.options}
    short, long = times[128], times[2048]
    assert short and long
    assert short[0] < short[1] < long[1]  # a cut row has fewer tokens
    measured = compare_lengths(*three_rows(), shipped, tokens_per_second=10.0)
    measured = measured.with_memory(forecast.forecast_lengths(shipped, SHIPPED, measured.lengths))
    assert not measured.has_estimated_time
    assert all(option.epoch_seconds and len({*option.epoch_seconds}) == 1 for option in measured.options)
