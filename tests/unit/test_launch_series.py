"""Several runs are planned before the first starts: their names, their time together, and one error for all faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.data import run_time, sources
from codex_tui.launch_series import Series, plan_series
from codex_tui.profiles.sweep import parse_sweep

ROW = '{"instruction": "Who holds the roof?", "response": "Rook, with two of the others and a rope."}\n'
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a profile and returns its path."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    (tmp_path / "rows.jsonl").write_text(ROW * 40)

    def write(name: str, text: str = "") -> str:
        path = tmp_path / f"{name}.toml"
        path.write_text(f'[model]\nname = "demo:llama"\n[dataset]\npath = "rows.jsonl"\neval_fraction = 0\n{text}')
        return str(path)

    return write


def plan(profiles: list[str], sweep: list[str], **options: Any) -> Series:
    return plan_series(profiles, parse_sweep(sweep), **options)


def test_a_sweep_names_its_runs_after_their_values(write: Write) -> None:
    series = plan([write("small")], ["training.learning_rate=1e-4,2e-4", "lora.r=8,16"], overrides={"training.seed": 7})
    assert [plan.name for plan in series.plans] == [
        "small-lr1e-4-r8", "small-lr1e-4-r16", "small-lr2e-4-r8", "small-lr2e-4-r16",
    ]  # fmt: skip
    assert [(plan.profile.training.learning_rate, plan.profile.lora.r) for plan in series.plans] == [
        (1e-4, 8), (1e-4, 16), (2e-4, 8), (2e-4, 16),
    ]  # fmt: skip
    assert {plan.profile.training.seed for plan in series.plans} == {7}
    assert dict(series.plans[1].overrides) == {"training.seed": 7, "training.learning_rate": 1e-4, "lora.r": 16}


def test_a_taken_name_gets_a_number(write: Write) -> None:
    (locations.runs_home() / "mine-r8").mkdir(parents=True)
    (locations.runs_home() / "mine-r8-2").mkdir()
    series = plan([write("small")], ["lora.r=8,16"], name="mine")
    assert [plan.name for plan in series.plans] == ["mine-r8-3", "mine-r16"]


def test_a_long_name_still_tells_its_runs_apart(write: Write) -> None:
    prompts = ",".join(f'"{"be brief and kind " * 2}{number}"' for number in range(3))
    series = plan([write("a profile with spaces and a very long name indeed")], [f"dataset.system_prompt={prompts}"])
    names = [plan.name or "" for plan in series.plans]
    assert len(set(names)) == 3 and all(len(name) <= 64 and " " not in name for name in names)


def test_the_runs_of_several_profiles_keep_their_order_and_are_named_by_the_launch(write: Write) -> None:
    series = plan([write("b"), write("a")], [])
    assert [(plan.profile_file.stem, plan.name) for plan in series.plans] == [("b", None), ("a", None)]


def test_one_error_names_all_faults(write: Write, tmp_path: Path) -> None:
    bad = write("bad", "[lora]\nr = 0\n")
    empty = write("empty", "[evaluation]\nbook = 'none.jsonl'\n")
    with pytest.raises(BadInput) as error:
        plan([write("good"), bad, empty, "no-such-profile"], ["lora.lora_alpha=8,16"])
    text = error.value.message
    assert text.startswith("6 of 8 runs can't start, so none was started:")
    assert f"{bad} alpha8, {bad} alpha16: {bad} can't be used" in text and "lora.r: should be" in text
    assert "none.jsonl" in text and "No profile is called 'no-such-profile'" in text
    assert "good" not in text.partition("codex-tui")[0].replace("good rows", "")


def test_the_error_of_a_single_run_is_its_own(write: Write) -> None:
    with pytest.raises(BadInput, match=r"^No profile is called 'nobody'"):
        plan(["nobody"], [])


def test_the_rows_are_read_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    check = sources.check_rows
    monkeypatch.setattr(sources, "check_rows", lambda *given: checked.append(given) or check(*given))  # type: ignore[func-returns-value]
    series = plan([write("small")], ["lora.r=1,2,3,4,5", "dataset.long_rows=cut,drop"])
    assert len(series.plans) == 10 and {plan.good_rows for plan in series.plans} == {40}
    assert len(checked) == 2  # for each table dataset


def test_the_time_of_all_runs(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_time, "find_last_speed_on", lambda *_: 10.0)
    series = plan([write("small", "[training]\nnum_train_epochs = 3\n")], ["training.num_train_epochs=1,3"])
    tokens = len(ROW) / run_time.BYTES_PER_TOKEN * 40
    assert series.plans[0].tokens == pytest.approx(tokens, abs=1)
    assert series.plans[1].tokens == pytest.approx(3 * tokens, abs=1)
    assert series.seconds == pytest.approx(4 * tokens / 10, rel=0.01)
    monkeypatch.setattr(run_time, "find_last_speed_on", lambda *_: None)
    assert plan([write("small")], []).seconds is None


def test_runs_with_passes_of_other_sizes_have_other_speeds(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_time, "find_last_speed_on", lambda _, profile, *__: 10.0 * profile.pass_rows)
    packings = plan([write("small")], ["training.packing=pack,flatten"])
    pack, flat = (plan([write("small")], [f"training.packing={each}"]).seconds or 0.0 for each in ("pack", "flatten"))
    assert pack == pytest.approx(4 * flat) and flat > 0
    assert packings.seconds == pytest.approx(pack + flat)


def test_long_rows_count_as_they_are_cut(write: Write) -> None:
    cut, whole = plan([write("small")], ["model.max_seq_length=16,4096"]).plans
    assert cut.tokens == 16 * 40
    assert whole.tokens is not None and whole.tokens > cut.tokens
