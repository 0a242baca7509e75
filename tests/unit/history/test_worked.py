"""The time in which trainers worked on a run."""

from __future__ import annotations

from pathlib import Path

from training.history.worked import count_worked_seconds


def write(path: Path, *lines: tuple[str, float]) -> None:
    path.write_text("".join(f'{{"type":"{kind}","v":1,"seq":0,"time":{time}}}\n' for kind, time in lines))


def test_only_the_time_from_the_start_of_an_attempt_to_its_last_event_counts(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert count_worked_seconds(path) == 0
    first = [("started", 1_000), ("metrics", 1_600), ("heartbeat", 1_605), ("held", 1_606), ("held", 9_000)]
    second = [("started", 50_000), ("metrics", 50_010), ("failed", 50_011), ("healed", 50_020)]
    write(path, *first, *second, ("started", 60_000))
    assert count_worked_seconds(path) == 605 + 11


def test_the_hours_that_a_run_was_parked_before_its_stop_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    parked = [("started", 1_000), ("metrics", 1_600), ("held", 1_606), ("held", 9_000), ("stopped", 30_000)]
    write(path, *parked, ("started", 40_000), ("heartbeat", 40_005))
    assert count_worked_seconds(path) == 600 + 5


def test_a_clock_that_was_set_back_and_damaged_lines_count_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, ("metrics", 5), ("started", 1_000), ("metrics", 400), ("started", 2_000), ("stopped", 2_007))
    path.write_text(
        path.read_text() + '{"type": "metrics", "time": "soon"}\nnot JSON\n' + "[" * 2_000 + '\n{"type":"met'
    )
    assert count_worked_seconds(path) == 7
