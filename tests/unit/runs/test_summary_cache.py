"""Tests that a kept summary equals the one read from the run's files, or is not used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import append_events, list_summaries, make_run

from codex_tui.base import locations
from codex_tui.base.checked_file import CHECKSUM_BYTES, compute_checksum
from codex_tui.runs import library, summaries, summary_cache
from codex_tui.runs.summary import RunSummary, summarise
from training.contract import events as ev
from training.contract.process import Exit, ProcessIdentity
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")

STARTED = ev.Started(attempt=1, pid=1)


@pytest.fixture(autouse=True)
def _keep_fresh_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that have just been written are kept too, so that no test has to wait."""
    monkeypatch.setattr(summary_cache, "MIN_AGE_SECONDS", -1e9)


def make_runs() -> list[RunDirectory]:
    done = make_run("done", STARTED, ev.Metrics(step=20, loss=0.5), ev.Eval(step=20, eval_loss=0.75), ev.Done(step=20))
    lost = make_run("lost", STARTED, ev.Phase(name="training"), ev.Metrics(step=25, loss=2.0))
    for run in (done, lost):
        for step in (10, 20):
            write_checkpoint(run.checkpoints, step)
    done.adapter.mkdir()
    (done.adapter / "adapter_config.json").write_text("{}")
    return [done, lost]


def read_anew() -> list[RunSummary]:
    return [summarise(run) for run in library.list_run_directories()]


def find_cache_file() -> Path:
    [path] = (locations.cache_home() / "summaries").iterdir()
    return path


def test_an_ended_run_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make_runs()
    first = list_summaries()
    assert first == read_anew()
    monkeypatch.setattr(summaries, "summarise", lambda run: pytest.fail(f"{run} was read again"))
    monkeypatch.setattr("training.history.tailer.decode", lambda *_: pytest.fail("events were read again"))
    assert list_summaries() == first
    assert find_cache_file().stat().st_mode & 0o077 == 0


def overwrite_in_place(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes so that neither the size, the inode nor the time of modification tells."""
    before = path.stat()
    data = path.read_bytes().replace(old, new)
    assert len(data) == before.st_size
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the kernel's clock ticks every few milliseconds
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def resume(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current(attempt=2))
    append_events(run, ev.Started(attempt=2, pid=1, resume_step=20), ev.Metrics(step=21, loss=0.4))


def replace_with_other(run: RunDirectory) -> None:
    other = make_run("other", STARTED, ev.Metrics(step=20, loss=0.9), ev.Done(step=20))
    shutil.rmtree(run.path)
    other.path.rename(run.path)


def swap(first: Path, second: Path) -> None:
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


CHANGES: dict[str, Callable[[RunDirectory, RunDirectory], object]] = {
    "an event is appended": lambda done, lost: append_events(lost, ev.Done(step=25)),
    "a loss is overwritten": lambda done, lost: overwrite_in_place(done.events, b"0.75", b"0.25"),
    "the profile's name is overwritten": lambda done, lost: overwrite_in_place(done.config, b'"demo"', b'"omed"'),
    "config.json is gone": lambda done, lost: lost.config.unlink(),
    "the run is resumed": lambda done, lost: resume(lost),
    "exit.json comes late": lambda done, lost: lost.write_exit(Exit(os.getpid(), None, "SIGKILL")),
    "the log grows": lambda done, lost: lost.log.write_text("RuntimeError: it broke\n"),
    "the adapter is deleted": lambda done, lost: shutil.rmtree(done.adapter),
    "the adapter loses its config": lambda done, lost: (done.adapter / "adapter_config.json").unlink(),
    "the last checkpoint is deleted": lambda done, lost: shutil.rmtree(lost.checkpoints / "checkpoint-20"),
    "the last checkpoint is cut": lambda done, lost: os.truncate(lost.checkpoints / "checkpoint-20/optimizer.pt", 9),
    "a file is deleted in a checkpoint": lambda done, lost: (lost.checkpoints / "checkpoint-20/rng_state.pth").unlink(),
    "another run takes its name": lambda done, lost: replace_with_other(done),
    "the run is renamed": lambda done, lost: done.path.rename(done.path.with_name("renamed")),
    "the runs swap their names": lambda done, lost: swap(done.path, lost.path),
    "the events are gone": lambda done, lost: done.events.unlink(),
    "the run is gone": lambda done, lost: shutil.rmtree(done.path),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_of_a_run_is_seen(change: Callable[[RunDirectory, RunDirectory], object]) -> None:
    done, lost = make_runs()
    before = list_summaries()
    change(done, lost)
    after = list_summaries()
    assert after == read_anew()
    assert after != before
    assert list_summaries() == after


def damage(data: bytes) -> list[bytes]:
    content = msgspec.msgpack.decode(data[CHECKSUM_BYTES:])
    other_version = msgspec.msgpack.encode(content | {"version": "0.0"})
    lie = content["entries"]["lost"]["summary"] | {"status": "won"}
    lying = msgspec.msgpack.encode(
        content | {"entries": {"lost": content["entries"]["lost"] | {"summary": lie}}}
    )  # fmt: skip
    other_home = msgspec.msgpack.encode(content | {"runs_home": "/elsewhere"})
    return [
        b"",
        b"\x00" * 40,
        b"\xff" * 4000,
        data[:-100],
        data[:200] + b"\x00" + data[201:],
        data.replace(b"lost", b"done"),
        *(compute_checksum(body) + body for body in (other_version, lying, other_home)),
        *(compute_checksum(body) + body for body in (b"\x91" * 100_000, b"\xc0", b"\x80")),
    ]


@pytest.mark.parametrize("number", range(12))
def test_a_damaged_or_lying_file_is_ignored(number: int) -> None:
    make_runs()
    first = list_summaries()
    path = find_cache_file()
    path.write_bytes(damage(path.read_bytes())[number])
    assert list_summaries() == first


def test_the_summary_of_one_run_is_never_shown_for_another() -> None:
    make_runs()
    first = list_summaries()
    path = find_cache_file()
    content = msgspec.msgpack.decode(path.read_bytes()[CHECKSUM_BYTES:])
    entries = content["entries"]
    body = msgspec.msgpack.encode(content | {"entries": {"done": entries["lost"], "lost": entries["done"]}})
    path.write_bytes(compute_checksum(body) + body)
    assert list_summaries() == first


def test_a_file_of_very_many_runs_is_used() -> None:
    make_runs()
    list_summaries()
    path = find_cache_file()
    content = msgspec.msgpack.decode(path.read_bytes()[CHECKSUM_BYTES:])
    done = content["entries"]["done"]
    long = done | {"summary": done["summary"] | {"reason": "r" * 15_000}}
    content["entries"] |= {f"run-{number}": long for number in range(500)}
    body = msgspec.msgpack.encode(content)
    path.write_bytes(compute_checksum(body) + body)
    assert summary_cache.SummaryCache(locations.runs_home()).find("done") is not None


def test_only_ended_runs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    live = make_run("live", STARTED, ev.Metrics(step=1, loss=1.0), alive=True)
    ending = make_run("ending", STARTED, ev.Done(step=1), alive=True)  # its trainer has not left yet
    list_summaries()
    read: list[str] = []
    monkeypatch.setattr(summaries, "summarise", lambda run: (read.append(run.name), summarise(run))[1])
    list_summaries()
    assert sorted(read) == [ending.name, live.name]


def test_a_run_that_has_just_changed_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_cache, "MIN_AGE_SECONDS", 1e9)
    make_runs()
    list_summaries()
    assert not (locations.cache_home() / "summaries").exists()


def test_what_was_listed_before_an_interrupt_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    make_runs()
    names = library.list_names()
    listing = summaries.summarise_runs(names)
    next(listing)
    listing.close()
    read: list[str] = []
    monkeypatch.setattr(summaries, "summarise", lambda run: (read.append(run.name), summarise(run))[1])
    list_summaries()
    assert read == names[1:]


def test_a_deleted_run_leaves_the_cache() -> None:
    done, _ = make_runs()
    list_summaries()
    shutil.rmtree(done.path)
    list_summaries()
    assert b"lost" in find_cache_file().read_bytes()
    assert b"done" not in find_cache_file().read_bytes()


def test_a_name_that_is_no_text_costs_only_time(monkeypatch: pytest.MonkeyPatch) -> None:
    done, lost = make_runs()
    strange = os.fsdecode(b"caf\xe9")
    done.path.rename(done.path.with_name(strange))
    first = list_summaries()
    assert {summary.name for summary in first} == {strange, lost.name}
    read: list[str] = []
    monkeypatch.setattr(summaries, "summarise", lambda run: (read.append(run.name), summarise(run))[1])
    assert list_summaries() == first
    assert read == [strange]


def test_without_a_writable_cache_nothing_is_kept() -> None:
    make_runs()
    locations.cache_home().write_text("a file where the folder should be")
    assert list_summaries() == list_summaries() == read_anew()
