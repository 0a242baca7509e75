"""The X-ray of the data screen: a run's rows, worst-learned first, and what the adapter made of each token."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.data_screen import app_on, counted, screen_of
from support.pilot import screen_strips, screen_text, until
from support.screens import EVIL
from support.xray import WRONG_LINE, MeasuringWorker, write_measurable_run
from textual.pilot import Pilot

from codex_tui.data.target import Target
from codex_tui.runs.measured_rows import NAME
from codex_tui.ui.app import CodexApp
from codex_tui.ui.kit.hints import HintBar
from training.contract.judge_messages import MeasureRows
from training.contract.run_directory import RunDirectory

SIZE = (120, 36)
MEASURED = 37  # of 40 rows: two are bad, and one loses its answer


@pytest.fixture
def run(make_run: Any, dataset: Path) -> RunDirectory:
    return write_measurable_run(make_run(), dataset)


@pytest.fixture
def measuring(worker: Any, monkeypatch: pytest.MonkeyPatch) -> type[MeasuringWorker]:
    kind = type("Measuring", (MeasuringWorker,), {"started": []})
    monkeypatch.setattr("codex_tui.workers.talk.Worker", kind)
    return kind


def app_of(run: RunDirectory) -> CodexApp:
    return CodexApp(data=Target.from_run(run))


def words_of(pilot: Pilot[Any]) -> str:
    return " ".join(screen_text(pilot.app).replace("│", " ").split())


async def see(pilot: Pilot[Any], *texts: str) -> str:
    await until(pilot, lambda: all(text in words_of(pilot) for text in texts))
    return words_of(pilot)


def hints_of(pilot: Pilot[Any]) -> list[str]:
    return pilot.app.screen.query_one(HintBar).keys


async def measure(pilot: Pilot[Any], then: str) -> None:
    await counted(pilot)
    await pilot.press("w", "x")
    await see(pilot, then)


def styles_of(pilot: Pilot[Any], word: str) -> set[str]:
    """The attributes and the colours in which `word` is painted."""
    segments = (segment for strip in screen_strips(pilot.app) for segment in strip)
    return {str(segment.style) for segment in segments if word == segment.text}


@pytest.mark.parametrize("size", [(80, 24), SIZE])
async def test_an_unmeasured_run_says_what_a_measurement_is_and_x_starts_one(
    run: RunDirectory, measuring: Any, size: tuple[int, int]
) -> None:
    async with app_of(run).run_test(size=size) as pilot:
        await counted(pilot)
        assert "w" in hints_of(pilot)
        await pilot.press("w")
        await see(pilot, "The rows of this run have not been", f"codex-tui judge {run.name} --rows")
        assert "x" in hints_of(pilot)
        await pilot.press("x")
        await see(pilot, f"1 of {MEASURED}", f"6.90 → 5.32 line {WRONG_LINE}")
        assert "x" not in hints_of(pilot)
        assert screen_of(pilot).view.rows.current == WRONG_LINE - 1
        await pilot.press("enter")
        await see(pilot, f"{MEASURED} rows measured with the adapter, ", "≥ 90 %", "Below 50 %", "5.30 0.5 % Hold")


async def test_each_token_shows_its_probability_and_i_lists_all_losses(run: RunDirectory, measuring: Any) -> None:
    async with app_of(run).run_test(size=(200, 60)) as pilot:
        await measure(pilot, f"1 of {MEASURED}")
        await see(pilot, "probability under the adapter ≥ 90 % ≥ 50 % ≥ 10 % ≥ 1 % < 1 %")
        least = styles_of(pilot, "< 1 %")
        assert least
        assert all("bold reverse" in style for style in least)
        assert all(styles_of(pilot, word) == least for word in ("Hold ", "tower ", "30. ", "<|eot_id|>"))
        await pilot.press("i")
        await see(pilot, "7 6.90 → 5.30 0.5 % Hold", "9 6.90 → 5.32 0.5 % 30.")
        await pilot.press("down", "i")
        await see(pilot, f"2 of {MEASURED}", "loss 6.90 → 0.17")
        assert styles_of(pilot, "Hold ") == styles_of(pilot, "≥ 90 %")
        await pilot.press("3", "5", "v")
        await see(pilot, "learned not learned")


async def test_stopped_and_resumed(run: RunDirectory, measuring: Any) -> None:
    measuring.pauses_after = 20
    async with app_of(run).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("w", "x")
        await see(pilot, "Measuring the rows", "Esc stops")
        await until(pilot, lambda: len((run.judgements / NAME).read_bytes().splitlines()) == 21)
        await pilot.press("q")
        await see(pilot, "A measurement runs. Quit?", "Its losses so far are kept")
        await pilot.press("escape", "escape")
        await see(pilot, "Stop the measurement?")
        await pilot.press("enter")
        await see(
            pilot, "1 of 20", "The measurement was stopped: 20 rows of 40 are not measured.", "x measures the rest"
        )
        measuring.pauses_after = None
        await pilot.press("x")
        await see(pilot, f"1 of {MEASURED}")
        assert "was stopped" not in words_of(pilot)
    requests = [request.first for worker in measuring.started for request in worker.sent]
    assert requests == [0, 23]


async def test_what_has_changed_since_the_measurement_is_said(run: RunDirectory, dataset: Path, measuring: Any) -> None:
    async with app_of(run).run_test(size=SIZE) as pilot:
        await measure(pilot, f"1 of {MEASURED}")
    (run.adapter / "adapter_model.safetensors").write_bytes(b"other weights")
    async with app_of(run).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("w")
        await see(pilot, "The run has another adapter now.", "x measures again", f"line {WRONG_LINE}")
        await pilot.press("x")
        await until(pilot, lambda: "another adapter" not in words_of(pilot))
    lines = dataset.read_text().splitlines()
    lines[WRONG_LINE - 1] = json.dumps({"instruction": "What comes 30?", "response": "Hold."})
    dataset.write_text("\n".join(lines) + "\n")
    async with app_of(run).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("w")
        await see(pilot, "The dataset has changed since", "This row has other tokens now than when it was measured.")
        await pilot.press("down")
        await see(pilot, "≥ 90 %")


async def test_an_older_measurement_lists_rows_and_offers_to_measure_the_tokens(
    run: RunDirectory, measuring: Any
) -> None:
    async with app_of(run).run_test(size=SIZE) as pilot:
        await measure(pilot, f"1 of {MEASURED}")
    path = run.judgements / NAME
    older = []
    for line in path.read_text().splitlines()[:-1]:
        values = json.loads(line)
        for key in ("adapter_tokens", "base_tokens", "file_number", "created", "step"):
            values.pop(key, None)
        older.append(json.dumps(values | ({"version": 1} if "version" in values else {})))
    path.write_text("\n".join(older) + "\n")
    os.utime(path, (1_790_000_000, 1_790_000_000))
    async with app_of(run).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("w")
        await see(pilot, f"6.90 → 5.32 line {WRONG_LINE}", f"{MEASURED} rows measured with the adapter, 2026-09-2")
        await see(pilot, "The tokens were not measured", "x measures all tokens")
        await pilot.press("x")
        await see(pilot, "Below 50 %")


async def test_a_profile_has_no_xray(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        assert "X-ray" not in screen_text(pilot.app)
        assert not {"w", "x", "5", "1-5"} & {*hints_of(pilot)}
        await pilot.press("w", "x", "5")
        await pilot.press("f", "f", "f", "f", "f")
        await until(pilot, lambda: screen_of(pilot).view.rows.kind == "all")
        assert screen_of(pilot).row_pane.pane == "seen"


async def test_while_a_run_trains_nothing_is_measured(run: RunDirectory, make_run: Any, measuring: Any) -> None:
    make_run(name="busy-1", end="training", steps=10)
    async with app_of(run).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("w", "x")
        await see(pilot, "busy-1 is training, and a judgement would take memory")
    assert not any(isinstance(request, MeasureRows) for worker in measuring.started for request in worker.sent)


async def test_tokens_that_attack_the_terminal_are_only_shown(run: RunDirectory, dataset: Path, measuring: Any) -> None:
    lines = dataset.read_text().splitlines()
    lines[WRONG_LINE - 1] = json.dumps({"instruction": f"What? {EVIL}", "response": f"Hold {EVIL}"})
    dataset.write_text("\n".join(lines) + "\n")
    write_measurable_run(run, dataset)
    async with app_of(run).run_test(size=(200, 60)) as pilot:
        await measure(pilot, "[/INST] [/] [@click=app.quit]x[/]")
        await see(pilot, "Below 50 %")
        await pilot.press("i")
        await see(pilot, "0.5 % ␛]0;owned␇␛[2J")
        assert not {*"\x1b\x07\x9b"} & {*screen_text(pilot.app)}
