"""Pictures of every screen at the three sizes it is designed for."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.config_file import read_config, write_config
from support.engine_runs import put_on_box, put_on_slurm
from support.exports import PROOF, write_export
from support.fake_engine import use_fake_engine
from support.judge_screen import write_judgement
from support.pilot import screen_text, settled, until
from support.screens import NOW
from textual.pilot import Pilot

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.banner import Banner
from training.contract import events as ev

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
Act = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture(autouse=True)
def short_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are shown as ~/data/…, which is the same in every picture."""
    monkeypatch.setenv("HOME", str(home))


def pressing(*keys: str, then: str = "") -> Act:
    async def act(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)  # a key may open a screen that must load before it takes the next one
        await until(pilot, lambda: then in screen_text(pilot.app))

    return act


@SIZES
@pytest.mark.parametrize(("end", "steps"), [("training", 120), ("done", 200), ("failed", 120), ("loading", 0)])
def test_cockpit(snap_compare: Any, make_run: Any, size: tuple[int, int], end: str, steps: int) -> None:
    assert snap_compare(CodexApp(make_run(end=end, steps=steps)), terminal_size=size, run_before=pressing())


@SIZES
def test_cockpit_of_a_lost_run(snap_compare: Any, make_run: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await until(pilot, lambda: pilot.app.screen.query_one(Banner).display)

    assert snap_compare(CodexApp(make_run(end="lost", steps=120)), terminal_size=size, run_before=act)


@SIZES
@pytest.mark.parametrize("state", ["waiting", "unreachable"])
def test_cockpit_of_a_run_elsewhere(
    snap_compare: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch, state: str, size: tuple[int, int]
) -> None:
    use_fake_engine(monkeypatch)
    for module in ("runs.engine_reason", "ui.cockpit.gpu_panel"):
        monkeypatch.setattr(f"codex_tui.{module}.format_moment", lambda moment: "14:02")
    run = make_run(end="lost", steps=120)
    gpu = ev.Gpu(used_mib=15_072.0, total_mib=24_564.0, temperature=61.0, utilisation=97.0, power=310.0)
    held = ev.Held(state="waiting", reason="Slurm warned of the job's time limit.", step=120)
    with run.events.open("ab") as file:  # at a fixed time, so that the picture is always the same
        for seq, event in enumerate([gpu, held] if state == "waiting" else [gpu], 9_000):
            event.seq, event.time = seq, NOW - 3400
            file.write(msgspec.json.encode(event) + b"\n")
    if state == "waiting":
        put_on_slurm(run, "waiting", reason="other jobs come first", host="n[1-2]")
    else:
        put_on_box(run, "unreachable", reason="Connection timed out")
    keys = pressing(then=f"{state.capitalize()} at step 120.")
    assert snap_compare(CodexApp(run), terminal_size=size, run_before=keys)


@SIZES
def test_picker(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(CodexApp(), terminal_size=size, run_before=pressing(then="2,048"))


@SIZES
def test_launch(snap_compare: Any, worker: Any, size: tuple[int, int]) -> None:
    keys = pressing("n", then="to train on")
    assert snap_compare(CodexApp(), terminal_size=size, run_before=keys)


@SIZES
def test_editor(snap_compare: Any, size: tuple[int, int]) -> None:
    """A value that was changed, and one that is being typed and is wrong."""
    keys = pressing(
        "e", *["pagedown"] * 2, *["down"] * 4, "right", "up", "up", "enter", "end", "5", "x", then="given: "
    )
    assert snap_compare(CodexApp(), terminal_size=size, run_before=keys)


@SIZES
def test_editor_of_what_does_not_fit(snap_compare: Any, size: tuple[int, int]) -> None:
    keys = pressing("e", *["pagedown"] * 2, *["down"] * 2, "enter", "end", "0", "enter", then="too big")
    assert snap_compare(CodexApp(), terminal_size=size, run_before=keys)


@SIZES
def test_remedies(snap_compare: Any, size: tuple[int, int]) -> None:
    keys = pressing("e", *["pagedown"] * 2, *["down"] * 2, "enter", "end", "0", "enter", "r", then="enough by itself")
    assert snap_compare(CodexApp(), terminal_size=size, run_before=keys)


@SIZES
def test_comparison(snap_compare: Any, size: tuple[int, int]) -> None:
    keys = pressing("e", *["pagedown"] * 2, *["down"] * 3, "right", "c", then="⇄")
    assert snap_compare(CodexApp(), terminal_size=size, run_before=keys)


@SIZES
def test_runs(snap_compare: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setattr("codex_tui.runs.summary.measure_folder", lambda path: 312_400_000)  # a pid changes the size
    for age, end in enumerate(("training", "done", "failed", "stopped", "lost"), 1):
        run = make_run(name=f"zombies-{age}", end=end, steps=80)
        os.utime(run.profile, (NOW - age * 4000, NOW - age * 4000))
    then = "dataset  " if size[0] < 100 else "loss 0"  # the preview shows the facts, or has read the curve
    assert snap_compare(CodexApp(), terminal_size=size, run_before=pressing("o", then=then))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_compared_runs(snap_compare: Any, make_run: Any, size: tuple[int, int]) -> None:
    """Three runs with different learning rates; the last one holds other rows out."""
    for number, rate in enumerate((2e-4, 1e-3, 5e-5)):
        run = make_run(name=f"rate-{rate:g}", end="stopped" if number == 1 else "done", steps=200 - 60 * number)
        config = read_config(run)
        config["profile"]["training"] |= {"learning_rate": rate, "seed": 1 if number == 2 else 3407}
        config["dataset_fingerprint"] = {"sha256": "1a" * 32, "rows": 220, "train_rows": 209, "eval_rows": 11}
        write_config(run, config)
        os.utime(run.profile, (NOW - number * 4000, NOW - number * 4000))
    keys = pressing("o", *["space"] * 3, "v", then="training.learning_rate" if size[0] > 80 else "learning_rate")
    assert snap_compare(CodexApp(), terminal_size=size, run_before=keys)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", ["result", "questions", "one"])
def test_judgement(
    snap_compare: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], view: str
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    run = make_run()
    write_judgement(run)
    shown, keys = {
        "result": ("W/L/T", []),
        "questions": ("1 / 24", ["2"]),
        "one": ("has “loading dock”", ["2", "enter"]),
    }[view]

    async def act(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await pilot.press("J")
        await until(pilot, lambda: "base passes 1" in screen_text(pilot.app))
        await pilot.press(*keys)
        await until(pilot, lambda: shown in screen_text(pilot.app))

    assert snap_compare(CodexApp(run), terminal_size=size, run_before=act)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_exports(snap_compare: Any, make_run: Any, size: tuple[int, int]) -> None:
    """A merged model with its proof, and a GGUF file whose proof failed."""
    run = make_run()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    write_export(run, "merged", {"model.safetensors": bytes(1_500_000)}, adapter=b"weights")
    failed = PROOF | {"problems": ["30 of 30 prompts differ from those of the run."]}
    write_export(run, "gguf", {"zombies-1-Q4_K_M.gguf": bytes(400_000)}, failed, adapter=b"weights")
    keys = pressing("E", "down", then="from transformers import")
    assert snap_compare(CodexApp(run), terminal_size=size, run_before=keys)


@SIZES
def test_help(snap_compare: Any, make_run: Any, size: tuple[int, int]) -> None:
    keys = pressing("question_mark", then="Everywhere")
    assert snap_compare(CodexApp(make_run()), terminal_size=size, run_before=keys)


@SIZES
def test_samples(snap_compare: Any, make_run: Any, workers: Any, size: tuple[int, int]) -> None:
    keys = pressing("3", "d", then="Row 1 / 3")
    assert snap_compare(CodexApp(make_run()), terminal_size=size, run_before=keys)


@SIZES
def test_chat(snap_compare: Any, make_run: Any, workers: Any, size: tuple[int, int]) -> None:
    keys = pressing("c", *"where", "enter", then="16 tokens/s")
    assert snap_compare(CodexApp(make_run()), terminal_size=size, run_before=keys)


def test_light(snap_compare: Any, make_run: Any) -> None:
    keys = pressing("ctrl+t")
    assert snap_compare(CodexApp(make_run(end="training", steps=120)), terminal_size=(120, 36), run_before=keys)
