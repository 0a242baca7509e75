"""A viewer brings events as they are written, until the run or the link ends."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from support.kept_runs import until
from support.mirrors import Watch, catch_up, is_prefix, make_root, write_events

from codex_tui.engines.ssh import frames, mirror
from codex_tui.engines.ssh.link.failures import Unreachable
from training.contract.process import Exit, ProcessIdentity
from training.contract.run_directory import RunDirectory


def test_events_come_while_they_are_written_until_the_run_ends(here: RunDirectory, there: RunDirectory) -> None:
    with Watch(here, there) as watch:
        for first in range(1, 60, 20):
            write_events(there, first, first + 20)
            until(lambda: here.events.exists() and here.events.read_bytes() == there.events.read_bytes())
        assert watch.seen[-1].live
        there.keeper.unlink()
        watch.thread.join()
    assert not watch.seen[-1].live and watch.ended is None


def test_a_second_viewer_leaves_it_to_the_first(here: RunDirectory, there: RunDirectory) -> None:
    with Watch(here, there) as watch:
        until(lambda: watch.seen)
        with mirror.hold(here) as second:
            assert second is None
    with mirror.hold(here) as second:
        assert second is not None


def test_runs_are_followed_to_their_new_names(here: RunDirectory, there: RunDirectory) -> None:
    with Watch(here, there) as watch:
        until(lambda: watch.seen)
        there.path.rename(there.path.with_name("renamed-there"))
        moved = RunDirectory(there.path.with_name("renamed-there"))
        here.path.rename(here.path.with_name("renamed-here"))
        renamed = RunDirectory(here.path.with_name("renamed-here"))
        write_events(moved, 1, 9)
        until(lambda: renamed.events.exists() and renamed.events.read_bytes() == moved.events.read_bytes())
        moved.keeper.unlink()
        watch.thread.join()
    assert watch.seen[-1].folder == str(moved.path)
    write_events(moved, 9, 12)
    assert catch_up(renamed, there.path).folder == str(moved.path)  # its old name leads to it
    assert renamed.events.read_bytes() == moved.events.read_bytes()


def test_a_run_that_was_deleted_there(here: RunDirectory, there: RunDirectory) -> None:
    write_events(there, 1, 9)
    with Watch(here, there) as watch:
        until(lambda: here.events.exists())
        data = there.events.read_bytes()
        for path in there.path.iterdir():
            path.unlink()
        there.path.rmdir()
        watch.thread.join()
    assert watch.seen[-1] == mirror.Seen(False, "")
    assert catch_up(here, there.path) == mirror.Seen(False, "")
    assert here.events.read_bytes() == data


def test_a_mirror_that_was_deleted_here_ends_the_watch(here: RunDirectory, there: RunDirectory) -> None:
    with Watch(here, there) as watch:
        until(lambda: watch.seen)
        for path in here.path.iterdir():
            path.unlink()
        here.path.rmdir()
        there.write_exit(Exit(1, code=0))
        watch.thread.join()
    assert watch.ended is None


def test_a_silent_link_is_cut(here: RunDirectory, there: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SILENT_SECONDS", 0.5)
    with Watch(here, there) as watch:
        until(lambda: watch.seen)
        os.kill(watch.connection.streams[0].process.pid, 19)  # SIGSTOP: nothing comes, and nothing ends
        watch.thread.join()
    assert isinstance(watch.ended, Unreachable) and "no answer for" in watch.ended.message


PROGRAM = """
import sys
sys.path[:0] = sys.argv[4:]
from codex_tui.engines.ssh import frames, mirror
from support.near_remote import NearConnection
from training.contract.run_directory import RunDirectory
with mirror.hold(RunDirectory(sys.argv[1])) as held:
    request = {"folder": sys.argv[2], "once": False, **held.make_request()}
    answer = frames.ask(NearConnection(), sys.argv[3], "watch", 30.0, **request)
    held.apply(answer, lambda seen: True)
"""


def test_a_viewer_that_is_killed_leaves_a_beginning(here: RunDirectory, there: RunDirectory) -> None:
    dice = random.Random(7)
    there.write_keeper(ProcessIdentity.current())
    first = 1
    for _ in range(6):
        command = [sys.executable, "-c", PROGRAM, str(here.path), str(there.path), make_root(there.path), *sys.path]
        with subprocess.Popen(command) as viewer:
            size = here.events.stat().st_size if here.events.exists() else 0
            wanted = size + dice.randrange(1, 40_000)
            while not here.events.exists() or here.events.stat().st_size < wanted:
                write_events(there, first, first + 200)
                first += 200
            viewer.kill()
        assert is_prefix(here, there)
    there.keeper.unlink()
    catch_up(here, there.path)
    assert here.events.read_bytes() == there.events.read_bytes()
