"""The table of a comparison: results, the best of a row, and only the settings that differ."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest
from support.config_file import write_config
from support.fake_runs import make_run

from codex_tui.runs.compared_settings import ComparedSettings
from codex_tui.runs.comparison import ComparedRun, Comparison, Results, Row, compare, read_run
from codex_tui.runs.follower import RunFollower
from training.contract import events as ev
from training.contract.config import Fingerprint
from training.contract.run_directory import RunDirectory

SETTINGS = ComparedSettings({"lora.r": 16, "training.seed": 1}, fingerprint=Fingerprint(sha256="1a" * 32, eval_rows=4))
DONE = Results("done", 200, 200, 0.5, 150, 0.6, 0.4, 60.0, 90.0, 6000, 100.0)


def make(*results: Results, settings: ComparedSettings = SETTINGS) -> Comparison:
    return compare([ComparedRun(f"run-{number}", settings, one) for number, one in enumerate(results)])


def row(comparison: Comparison, title: str) -> Row:
    return next(row for row in comparison.results if row.title == title)


def test_the_best_value_of_each_row_is_marked() -> None:
    comparison = make(DONE, replace(DONE, best_eval_loss=0.4, tokens_per_second=80.0, peak_gpu_mib=3000.0))
    assert row(comparison, "best eval loss") == ("best eval loss", ("0.5000", "0.4000"), {1})
    assert row(comparison, "tokens/s").best == {0}
    assert row(comparison, "peak GPU memory") == ("peak GPU memory", ("–", "2.93 GB"), frozenset())
    assert row(comparison, "last eval loss").best == frozenset()  # they are equal
    assert row(comparison, "at step").texts == ("150", "150")
    assert "adapter" not in {row.title for row in comparison.results}  # no run has one


def test_a_run_that_was_stopped_early_is_not_the_fastest() -> None:
    stopped = replace(DONE, status="stopped", step=3, training_seconds=1.0, seconds=2.0)
    assert row(make(DONE, stopped), "training time").best == frozenset()
    faster = replace(DONE, training_seconds=50.0)
    assert row(make(DONE, stopped, faster), "training time") == ("training time", ("1:00", "0:01", "0:50"), {2})


def test_losses_that_cannot_be_compared_have_no_best() -> None:
    other = replace(SETTINGS, values={**SETTINGS.values, "training.seed": 2})
    better = replace(DONE, best_eval_loss=0.1, smoothed_loss=0.1, training_seconds=10.0)
    comparison = compare([ComparedRun("a", SETTINGS, DONE), ComparedRun("b", other, better)])
    assert [reason.kind for reason in comparison.reasons] == ["held-out rows"]
    assert not row(comparison, "best eval loss").best and not row(comparison, "smoothed loss").best
    assert row(comparison, "training time").best == {1}
    assert [tuple(row) for row in comparison.settings] == [("training.seed", ("1", "2"), frozenset())]


def test_a_loss_that_is_not_finite_is_never_the_best() -> None:
    assert row(make(DONE, replace(DONE, eval_loss=math.nan), replace(DONE, eval_loss=0.7)), "last eval loss").best == {
        0
    }


def write_events(run: RunDirectory, *events: tuple[float, ev.Event]) -> None:
    lines = []
    for number, (time, event) in enumerate(events):
        event.seq, event.time = number, time
        lines.append(msgspec.json.encode(event) + b"\n")
    run.events.write_bytes(b"".join(lines))


@pytest.mark.usefixtures("empty_home")
def test_results_come_from_the_events_and_the_adapter() -> None:
    run = make_run("a")
    write_events(
        run,
        (0.0, ev.Started(attempt=1, pid=1)),
        (5.0, ev.Resolved(total_steps=4, steps_per_epoch=4, train_rows=8, eval_rows=2, trainable_parameters=640)),
        (6.0, ev.Probe(tokens=8, rows=1, peak_reserved_mib=3100.0)),
        (10.0, ev.Phase(name="training")),
        (12.0, ev.Metrics(step=1, loss=2.0, tokens=500)),
        (14.0, ev.Metrics(step=2, loss=1.0, tokens=1000)),
        (14.0, ev.Eval(step=2, eval_loss=1.5)),
        (14.0, ev.Stopped(step=2)),
        (1000.0, ev.Started(attempt=2, pid=1, resume_step=2)),  # a break that counts as no time
        (1005.0, ev.Phase(name="training")),
        (1007.0, ev.Metrics(step=3, loss=1.0, tokens=1500)),
        (1009.0, ev.Metrics(step=4, loss=1.0, tokens=2000)),
        (1009.0, ev.Eval(step=4, eval_loss=1.6)),
        (1010.0, ev.Memory(step=4, peak_reserved_mib=2900.0, host_mib=900.0)),
        (1011.0, ev.Done(step=4)),
    )
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    (run.adapter / "adapter_model.safetensors").write_bytes(bytes(100))
    follower = RunFollower(run)
    follower.poll(math.inf)
    results = read_run(run, follower.watched).results
    assert replace(results, smoothed_loss=None) == Results(
        "done", 4, 4, 1.5, 2, 1.6, None, 8.0, 25.0, 2000, 250.0, 3100.0, 900.0, 640, 102
    )
    assert results.smoothed_loss is not None and 1.0 < results.smoothed_loss < 1.5


@pytest.mark.usefixtures("empty_home")
def test_a_damaged_run_does_not_break_the_rest() -> None:
    runs = [make_run("whole", ev.Started(attempt=1, pid=1), ev.Metrics(step=1, loss=1.0), ev.Done(step=1))]
    write_config(runs[0], {"profile": {"model": {"name": "demo:llama"}}})
    damaged = make_run("damaged\x1b[2J")
    damaged.config.write_text("not JSON")
    damaged.events.write_text("\x00\x01 nothing\n{}\n")
    compared = []
    for run in (*runs, damaged):
        follower = RunFollower(run)
        follower.poll(math.inf)
        compared.append(read_run(run, follower.watched))
    comparison = compare(compared)
    assert comparison.troubles == [(1, "config.json is damaged. The settings of this run are not known.")]
    assert row(comparison, "steps").texts == ("1", "0")
    assert comparison.as_json()["runs"][1]["name"] == "damaged\x1b[2J"


def test_pass_rates_of_one_book_can_be_compared_whatever_was_learned() -> None:
    rates = [
        ev.PassRate(step=9, passes=passes, questions=40, trained_passes=trained, trained_questions=24, book="one")
        for passes, trained in ((26, 24), (24, 20))
    ]
    runs = [replace(DONE, pass_rate=rate) for rate in rates]
    other = replace(SETTINGS, fingerprint=Fingerprint(sha256="2" * 64, train_rows=1, eval_rows=1))
    compared = compare([ComparedRun("a", SETTINGS, runs[0]), ComparedRun("b", other, runs[1])])
    assert compared.reasons
    assert row(compared, "pass rate") == Row("pass rate", ("26 of 40", "24 of 40"), frozenset({0}))
    assert row(compared, "of unseen questions") == Row("of unseen questions", ("2 of 16", "4 of 16"), frozenset({1}))
    books = make(runs[0], replace(DONE, pass_rate=ev.PassRate(step=9, passes=1, questions=2, book="two")))
    assert row(books, "pass rate (2 books)") == Row("pass rate (2 books)", ("26 of 40", "1 of 2"))
    assert not any(line.title.startswith("pass rate") for line in make(DONE, DONE).results)
    assert compared.as_json()["runs"][0]["pass_rate"] == {
        "step": 9, "passes": 26, "questions": 40, "trained_passes": 24, "trained_questions": 24, "book": "one",
        "rate": 0.65,
    }  # fmt: skip
