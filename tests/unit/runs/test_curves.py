"""The curves beside the loss, as the events of a run have them."""

from __future__ import annotations

import math

import pytest
from support.fake_runs import append_events, make_run

from codex_tui.runs.curves import Curves
from training.contract import events as ev

pytestmark = pytest.mark.usefixtures("empty_home")


def metrics(step: int, rate: float) -> ev.Metrics:
    return ev.Metrics(step=step, loss=1.0, learning_rate=rate, grad_norm=0.5, tokens=step * 10, tokens_per_second=99.0)


def test_each_curve_has_the_values_of_its_events() -> None:
    run = make_run(
        "a",
        ev.Started(attempt=1, pid=1),
        ev.Gpu(used_mib=1.0, temperature=30.0),  # before the first step there is no place for it
        ev.Phase(name="training"),
        metrics(1, 1e-4),
        ev.Gpu(used_mib=3000.0, temperature=60.0),
        ev.Gpu(used_mib=3100.0, temperature=61.0),
        metrics(2, 2e-4),
        ev.Memory(step=2, device_mib=3200.0),
        ev.Metrics(step=3, loss=None, learning_rate=3e-4),
    )
    curves = Curves(run)
    assert curves.poll(math.inf) and curves.complete
    points = {name: list(zip(series.steps, series.losses, strict=True)) for name, series in curves.series.items()}
    assert points == {
        "learning rate": [(1, 1e-4), (2, 2e-4), (3, 3e-4)],
        "gradient norm": [(1, 0.5), (2, 0.5)],
        "tokens/s": [(1, 99.0), (2, 99.0)],
        "VRAM": [(1, 3100.0), (2, 3200.0)],
        "temperature": [(1, 61.0)],
    }
    assert list(curves.series["learning rate"].tokens) == [10, 20, 0]
    assert not curves.poll(math.inf)


def test_new_events_are_added_and_a_resume_takes_back_later_points() -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1), *[metrics(step, step / 10) for step in range(1, 6)])
    curves = Curves(run)
    curves.poll(math.inf)
    append_events(run, ev.Started(attempt=2, pid=1, resume_step=3), metrics(4, 9.0))
    assert curves.poll(math.inf)
    assert list(curves.series["learning rate"].losses) == [0.1, 0.2, 0.3, 9.0]
    run.events.unlink()
    append_events(run, ev.Started(attempt=1, pid=1), metrics(1, 7.0))
    assert curves.poll(math.inf)
    assert list(curves.series["learning rate"].losses) == [7.0]


def test_a_long_history_is_read_in_pieces() -> None:
    run = make_run("a", ev.Started(attempt=1, pid=1))
    line = run.events.read_bytes()
    body = b"".join(
        b'{"type":"metrics","seq":%d,"time":%d.0,"step":%d,"loss":1.0,"learning_rate":0.1}\n' % (n, n, n)
        for n in range(1, 30_000)
    )
    run.events.write_bytes(line + body)
    curves = Curves(run)
    assert curves.poll(0.0)
    assert not curves.complete
    while not curves.complete:
        curves.poll(0.0)
    assert len(curves.series["learning rate"]) == 29_999
