"""Tests that a cached history equals the one read from the events, or is not used."""

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from support.fake_runs import append_events

from codex_tui.runs import follower, history_cache
from codex_tui.runs.follower import RunFollower
from codex_tui.runs.watched import WatchedRun
from training.contract import events as ev
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A short run that is done and counts as a long one."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1)
    run = RunDirectory(tmp_path / "long-1")
    run.create()
    append_events(run, ev.Started(attempt=1, pid=1), ev.Phase(name="training"))
    append_events(
        run,
        ev.Resolved(total_steps=300, steps_per_epoch=300, train_rows=300, eval_rows=3, changed={"a": (1, 2, "")}),
        *[ev.Metrics(step=step, loss=None if step == 7 else 1 / step, tokens=step) for step in range(1, 301)],
        ev.Eval(step=300, eval_loss=0.5),
        ev.Sample(step=300, prompt="a", text="b"),
        ev.Gpu(temperature=61.0),
        ev.Memory(step=300, host_mib=1.5),
        ev.Checkpoint(step=300, path="c"),
        ev.Warned(message="d"),
        ev.Done(step=300, seconds=3.0),
    )
    return run


def read_all(run: RunDirectory) -> WatchedRun:
    """Read the whole history, so that the follower caches it."""
    reader = RunFollower(run)
    for _ in range(5):
        reader.poll()
    assert reader.complete
    return reader.watched


def values(watched: WatchedRun) -> dict[str, object]:
    """All values of a run and its state, in a form in which NaN equals NaN."""
    state = watched.state
    return {
        **vars(watched),
        **vars(state),
        "state": None,
        "losses": {name: repr(column) for name, column in vars(state.losses).items()},
    }


def test_the_next_look_gives_the_same(run: RunDirectory) -> None:
    first = read_all(run)
    history = history_cache.load_history(run.events)
    assert history is not None
    assert values(replace(first, state=history.state, damaged_lines=history.damaged_lines)) == values(first)
    assert values(read_all(run)) == values(first)
    assert history.offset == run.events.stat().st_size


def test_a_cached_history_is_used_and_private(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o077)  # as the command line does
    try:
        first = read_all(run)
    finally:
        os.umask(before)
    [place] = (Path(os.environ["CODEX_TUI_HOME"]) / "cache" / "histories").iterdir()
    assert place.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("codex_tui.runs.tailer.decode", lambda *_: pytest.fail("the file was read again"))
    assert values(read_all(run)) == values(first)


def test_a_run_that_was_resumed_is_read_again(run: RunDirectory) -> None:
    read_all(run)
    append_events(run, ev.Started(attempt=2, pid=1, resume_step=100), ev.Metrics(step=101, loss=0.1), ev.Done(step=101))
    assert history_cache.load_history(run.events) is None
    state = read_all(run).state
    assert (len(state.losses), state.attempt, state.step) == (101, 2, 101)


def test_a_cached_run_that_is_resumed_while_watched_is_followed(run: RunDirectory) -> None:
    read_all(run)
    reader = RunFollower(run)
    reader.poll()
    append_events(run, ev.Started(attempt=2, pid=1, resume_step=100), ev.Metrics(step=101, loss=0.1), ev.Done(step=101))
    assert reader.poll()
    assert (len(reader.watched.state.losses), reader.watched.state.attempt, reader.watched.missing_events) == (
        101,
        2,
        0,
    )


def test_a_run_that_was_watched_to_its_end_is_cached(run: RunDirectory) -> None:
    append_events(run, ev.Started(attempt=2, pid=1, resume_step=100))
    reader = RunFollower(run)
    for _ in range(3):
        reader.poll()
    assert history_cache.load_history(run.events) is None
    append_events(run, ev.Metrics(step=101, loss=0.1), ev.Done(step=101))
    for _ in range(3):
        reader.poll()
    assert history_cache.load_history(run.events) is not None


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, b"\xff" * 4000, None])
def test_a_damaged_history_is_ignored(run: RunDirectory, damage: bytes | None) -> None:
    first = read_all(run)
    [place] = (Path(os.environ["CODEX_TUI_HOME"]) / "cache" / "histories").iterdir()
    place.write_bytes(place.read_bytes()[:-100] if damage is None else damage)
    assert history_cache.load_history(run.events) is None
    assert values(read_all(run)) == values(first)


def test_a_history_of_another_app_version_is_ignored(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    read_all(run)
    monkeypatch.setattr(history_cache, "__version__", "99")
    assert history_cache.load_history(run.events) is None


def test_a_history_of_another_format_is_ignored(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    read_all(run)
    monkeypatch.setattr(history_cache, "FORMAT", 1)
    assert history_cache.load_history(run.events) is None


def test_a_history_without_a_format_is_ignored(run: RunDirectory) -> None:
    """It has fields of `RunState` that were moved since, and the same version of the app."""
    first = read_all(run)
    [place] = (Path(os.environ["CODEX_TUI_HOME"]) / "cache" / "histories").iterdir()
    old = msgspec.msgpack.decode(place.read_bytes())
    old["version"] = history_cache.__version__
    old["state"]["damaged_lines"] = old.pop("damaged_lines") + 3
    place.write_bytes(msgspec.msgpack.encode(old))
    assert history_cache.load_history(run.events) is None
    assert values(read_all(run)) == values(first)


def test_damaged_lines_are_cached_too(run: RunDirectory) -> None:
    with run.events.open("ab") as file:
        file.write(b'{"type":"metrics","st\n')
    assert read_all(run).damaged_lines == 1
    assert history_cache.load_history(run.events) is not None
    assert read_all(run).damaged_lines == 1


def test_only_the_newest_ended_runs_are_cached(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_cache, "MAX_HISTORIES", 2)
    live = RunDirectory(tmp_path / "live")
    live.create()
    append_events(live, ev.Started(attempt=1, pid=1), ev.Metrics(step=1, loss=1.0))
    read_all(live)
    assert history_cache.load_history(live.events) is None
    for name in ("a", "b", "c"):
        other = RunDirectory(tmp_path / name)
        other.create()
        append_events(other, ev.Started(attempt=1, pid=1), ev.Done(step=1))
        read_all(other)
    cached = [name for name in "abc" if history_cache.load_history(tmp_path / name / "events.jsonl")]
    assert cached == ["b", "c"]


def test_without_a_writable_cache_nothing_is_cached(run: RunDirectory) -> None:
    home = Path(os.environ["CODEX_TUI_HOME"])
    home.mkdir(exist_ok=True)
    (home / "cache").write_text("a file where the folder should be")
    assert read_all(run).status == "done"
