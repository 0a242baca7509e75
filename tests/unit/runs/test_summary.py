"""Tests the summary of one run: its best evaluation, its time and its size, exact for long runs too."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from support.config_file import write_config
from support.fake_runs import make_run

from codex_tui.runs import follower
from codex_tui.runs.summary import measure_folder, summarise
from training.contract import events as ev

pytestmark = pytest.mark.usefixtures("empty_home")


def make_history() -> list[ev.Event]:
    """Two attempts with a break between; the best evaluation is in the middle."""
    history: list[ev.Event] = [ev.Started(attempt=1, pid=1), ev.Phase(name="training")]
    for attempt in (1, 2):
        for step in range(1000 * (attempt - 1) + 1, 1000 * attempt + 1):
            history += [ev.Metrics(step=step, loss=1.0, tokens=step), ev.Memory(step=step, host_mib=1.0)]
            if step % 50 == 0:
                history.append(ev.Eval(step=step, eval_loss=0.5 if step == 750 else 0.6 + step / 1e5))
                history.append(ev.PassRate(step=step, passes=step // 50, questions=40, book="0" * 64))
        if attempt == 1:
            heal = ev.Healed(kind="hang", reason="No step for 9 min.", step=1000, failed_step=1001)
            history += [ev.Stopped(step=1000), heal, ev.Heartbeat(), ev.Started(attempt=2, pid=1, resume_step=1000)]
    return [*history, ev.Eval(step=2000, eval_loss=math.nan), ev.Done(step=2000)]


def test_the_summary_of_a_long_run_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("long", *make_history())
    short = summarise(run)
    assert (short.best_eval_loss, short.best_eval_step, short.step) == (0.5, 750, 2000)
    assert short.pass_rate and (short.pass_rate.step, short.pass_rate.passes) == (2000, 40)
    assert [event.failed_step for event in short.healed] == [1001]
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1)
    monkeypatch.setattr("training.history.tailer.sample_events.__defaults__", (4, 256, 1024))
    assert follower.snapshot(run).sampled
    assert summarise(run) == short


def test_a_fitted_run_says_so_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = ev.Resolved(total_steps=4_017, steps_per_epoch=4_017, train_rows=32_136, eval_rows=0)
    fits = [
        ev.Fitted(total_steps=total, planned_steps=4_017, deadline=9_000.0, rows=8 * total) for total in (2_950, 2_900)
    ]
    started, *steps = make_history()[:2_000]
    run = make_run("night", started, resolved, *steps[:200], fits[0], *steps[200:400], fits[1], *steps[400:])
    summary = summarise(run)
    assert summary.total_steps == 2_900
    assert summary.as_json()["fitted"] == {
        "total_steps": 2_900, "planned_steps": 4_017, "deadline": 9_000.0, "rows": 23_200
    }  # fmt: skip
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1)
    monkeypatch.setattr("training.history.tailer.sample_events.__defaults__", (4, 256, 1024))
    assert follower.snapshot(run).sampled
    assert summarise(run).fitted == summary.fitted
    assert summarise(run).total_steps == 2_900


def test_a_break_is_not_time_of_training() -> None:
    run = make_run("a")
    times = {"started": 0.0, "stopped": 60.0, "again": 10_000.0, "done": 10_030.0}
    lines = [
        ev.Started(attempt=1, pid=1, seq=0, time=times["started"]),
        ev.Stopped(step=5, seq=1, time=times["stopped"]),
        ev.Started(attempt=2, pid=1, resume_step=5, seq=2, time=times["again"]),
        ev.Done(step=9, seq=3, time=times["done"]),
    ]
    run.events.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in lines))
    assert summarise(run).seconds == 90.0


def test_a_run_that_never_began_has_no_figures() -> None:
    summary = summarise(make_run("a"))
    assert (summary.seconds, summary.best_eval_loss, summary.loss, summary.step) == (None, None, None, 0)


def test_a_summary_names_model_and_dataset() -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    write_config(run, {"profile": {"model": {"name": "meta-llama/Llama-3.2-3B\x1b[2J"}}, "dataset": "rows.jsonl"})
    summary = summarise(run)
    assert (summary.model, summary.dataset) == ("meta-llama/Llama-3.2-3B␛[2J", "rows.jsonl")


def test_a_folder_is_measured_without_its_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(bytes(100_000))
    inside = tmp_path / "inside"
    (inside / "deep" / "er").mkdir(parents=True)
    (inside / "a").write_bytes(bytes(1000))
    (inside / "deep" / "er" / "b").write_bytes(bytes(234))
    (inside / "link").symlink_to(outside)
    (inside / "deep" / "file").symlink_to(outside / "large")
    (inside / "loop").symlink_to(inside)
    assert 1234 <= measure_folder(inside) < 5000
    assert measure_folder(tmp_path / "missing") == 0
