"""A kept history is what reading it again would give, or it is not used."""

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from codex_tui.runs import follower, history_cache
from codex_tui.runs.follower import RunFollower
from codex_tui.runs.watched import WatchedRun
from training.contract import events as ev
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A short run that is done, taken for a long one."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1)
    run = RunDirectory(tmp_path / "long-1")
    run.create()
    write(run, ev.Started(attempt=1, pid=1), ev.Phase(name="training"))
    write(
        run, ev.Resolved(total_steps=300, steps_per_epoch=300, train_rows=300, eval_rows=3, changed={"a": (1, 2, "")})
    )
    write(run, *[ev.Metrics(step=step, loss=None if step == 7 else 1 / step, tokens=step) for step in range(1, 301)])
    write(run, ev.Eval(step=300, eval_loss=0.5), ev.Sample(step=300, prompt="a", text="b"), ev.Gpu(temperature=61.0))
    write(run, ev.Memory(step=300, host_mib=1.5), ev.Checkpoint(step=300, path="c"), ev.Warned(message="d"))
    write(run, ev.Done(step=300, seconds=3.0))
    return run


def write(run: RunDirectory, *events: ev.Event) -> None:
    writer = ev.EventWriter(run.events)
    for event in events:
        writer.emit(event)
    writer.close()


def read_all(run: RunDirectory) -> WatchedRun:
    """Read the whole history, and let the follower keep it."""
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


def test_the_next_look_finds_the_same(run: RunDirectory) -> None:
    first = read_all(run)
    kept = history_cache.load_history(run.events)
    assert kept is not None
    assert values(replace(first, state=kept.state, damaged_lines=kept.damaged_lines)) == values(first)
    assert values(read_all(run)) == values(first)
    assert kept.offset == run.events.stat().st_size


def test_what_is_kept_is_used_and_private(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o077)  # as the command line does
    try:
        first = read_all(run)
    finally:
        os.umask(before)
    [place] = (Path(os.environ["CODEX_TUI_HOME"]) / "cache" / "histories").iterdir()
    assert place.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("codex_tui.runs.tailer.decode", lambda *_: pytest.fail("the file was read again"))
    assert values(read_all(run)) == values(first)


def test_a_run_that_went_on_is_read_again(run: RunDirectory) -> None:
    read_all(run)
    write(run, ev.Started(attempt=2, pid=1, resume_step=100), ev.Metrics(step=101, loss=0.1), ev.Done(step=101))
    assert history_cache.load_history(run.events) is None
    state = read_all(run).state
    assert (len(state.losses), state.attempt, state.step) == (101, 2, 101)


def test_a_kept_run_that_is_resumed_while_watched_goes_on(run: RunDirectory) -> None:
    read_all(run)
    reader = RunFollower(run)
    reader.poll()
    write(run, ev.Started(attempt=2, pid=1, resume_step=100), ev.Metrics(step=101, loss=0.1), ev.Done(step=101))
    assert reader.poll()
    assert (len(reader.watched.state.losses), reader.watched.state.attempt, reader.watched.missing_events) == (
        101,
        2,
        0,
    )


def test_a_run_that_was_watched_to_its_end_is_kept(run: RunDirectory) -> None:
    write(run, ev.Started(attempt=2, pid=1, resume_step=100))
    reader = RunFollower(run)
    for _ in range(3):
        reader.poll()
    assert history_cache.load_history(run.events) is None
    write(run, ev.Metrics(step=101, loss=0.1), ev.Done(step=101))
    for _ in range(3):
        reader.poll()
    assert history_cache.load_history(run.events) is not None


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, b"\xff" * 4000, None])
def test_what_does_not_fit_is_as_good_as_not_there(run: RunDirectory, damage: bytes | None) -> None:
    first = read_all(run)
    [place] = (Path(os.environ["CODEX_TUI_HOME"]) / "cache" / "histories").iterdir()
    place.write_bytes(place.read_bytes()[:-100] if damage is None else damage)
    assert history_cache.load_history(run.events) is None
    assert values(read_all(run)) == values(first)


def test_another_version_of_the_app_reads_for_itself(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    read_all(run)
    monkeypatch.setattr(history_cache, "__version__", "99")
    assert history_cache.load_history(run.events) is None


def test_a_history_of_another_format_is_ignored(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    read_all(run)
    monkeypatch.setattr(history_cache, "FORMAT", 1)
    assert history_cache.load_history(run.events) is None


def test_a_history_of_before_the_format_was_named_is_ignored(run: RunDirectory) -> None:
    """It holds fields of `RunState` that are elsewhere now, under the same version of the app."""
    first = read_all(run)
    [place] = (Path(os.environ["CODEX_TUI_HOME"]) / "cache" / "histories").iterdir()
    old = msgspec.msgpack.decode(place.read_bytes())
    old["version"] = history_cache.__version__
    old["state"]["damaged_lines"] = old.pop("damaged_lines") + 3
    place.write_bytes(msgspec.msgpack.encode(old))
    assert history_cache.load_history(run.events) is None
    assert values(read_all(run)) == values(first)


def test_damaged_lines_are_kept_too(run: RunDirectory) -> None:
    with run.events.open("ab") as file:
        file.write(b'{"type":"metrics","st\n')
    assert read_all(run).damaged_lines == 1
    assert history_cache.load_history(run.events) is not None
    assert read_all(run).damaged_lines == 1


def test_only_ended_runs_and_the_newest_few_are_kept(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_cache, "MAX_HISTORIES", 2)
    live = RunDirectory(tmp_path / "live")
    live.create()
    write(live, ev.Started(attempt=1, pid=1), ev.Metrics(step=1, loss=1.0))
    read_all(live)
    assert history_cache.load_history(live.events) is None
    for name in ("a", "b", "c"):
        other = RunDirectory(tmp_path / name)
        other.create()
        write(other, ev.Started(attempt=1, pid=1), ev.Done(step=1))
        read_all(other)
    kept = [name for name in "abc" if history_cache.load_history(tmp_path / name / "events.jsonl")]
    assert kept == ["b", "c"]


def test_a_cache_that_cannot_be_written_is_done_without(run: RunDirectory) -> None:
    home = Path(os.environ["CODEX_TUI_HOME"])
    home.mkdir(exist_ok=True)
    (home / "cache").write_text("a file where the folder should be")
    assert read_all(run).status == "done"
