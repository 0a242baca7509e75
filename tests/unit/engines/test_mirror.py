"""A mirror is at every moment the beginning of the file over there, and in the end equal to it."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from support.config_file import write_config
from support.kept_runs import until
from support.near_remote import NearConnection

from codex_tui.engines.ssh import far_end, frames, mirror
from codex_tui.engines.ssh.connection import Connection, Unreachable
from training.contract.config import RunConfig
from training.contract.process import Exit, ProcessIdentity
from training.contract.run_directory import RunDirectory

CREATED = 1795870092.293


@pytest.fixture
def there(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "there" / "runs" / "demo-1", python="/box/python", stack={"torch": "2.13.0"})


@pytest.fixture
def here(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "here" / "runs" / "demo-1", python="")


def make_run(folder: Path, **values: Any) -> RunDirectory:
    run = RunDirectory(folder)
    run.create()
    write_config(run, {"name": "demo-1", "created": CREATED} | values)
    return run


def make_root(place: Path) -> str:
    """The folder of the app over there, with its Python."""
    python = place.parents[1] / "app" / "0.1.0" / "venv" / "bin" / "python"
    if not python.exists():
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
    return str(place.parents[1])


def catch_up(here: RunDirectory, there: Path) -> mirror.Seen:
    seen: list[mirror.Seen] = []
    with mirror.hold(here) as held:
        assert held
        held.apply(ask(held, there), lambda look: seen.append(look) is None)
    return seen[-1]


def ask(held: mirror.Mirror, there: Path) -> Iterator[frames.Frame]:
    return frames.ask(
        cast(Connection, NearConnection()), make_root(there), "watch", 30.0, folder=str(there), once=True,
        **held.make_request(),
    )  # fmt: skip


def is_prefix(here: RunDirectory, there: RunDirectory, name: str = "events.jsonl") -> bool:
    path = here.path / name
    return not path.exists() or (there.path / name).read_bytes().startswith(path.read_bytes())


def write_events(run: RunDirectory, first: int, last: int) -> None:
    with run.events.open("ab") as file:
        file.writelines(b'{"type":"metrics","v":1,"seq":%d,"loss":%f}\n' % (n, 1 / n) for n in range(first, last))


def test_brings_all_files_and_continues_at_their_size(here: RunDirectory, there: RunDirectory) -> None:
    write_events(there, 1, 5000)
    there.log.write_bytes(b"step 1\r\xff\x00" * 1000)
    (there.path / "rank-1.log").write_text("rank 1\n")
    there.write_process(ProcessIdentity(1, 2.0, 1, "another boot", "box"))
    assert catch_up(here, there.path) == mirror.Seen(False, str(there.path))
    write_events(there, 5000, 5003)
    with there.log.open("ab") as file:
        file.write(b"step 2")
    catch_up(here, there.path)
    for name in ("events.jsonl", "trainer.log", "rank-1.log", "process.json"):
        assert (here.path / name).read_bytes() == (there.path / name).read_bytes(), name


def test_takes_from_config_json_what_ran_and_keeps_the_paths_of_this_machine(
    here: RunDirectory, there: RunDirectory
) -> None:
    catch_up(here, there.path)
    config = RunConfig.read(here.config)
    assert (config.python, config.stack) == ("", {"torch": "2.13.0"})
    there.config.write_text("{")
    catch_up(here, there.path)
    assert RunConfig.read(here.config) == config


def test_removes_what_is_gone_there(here: RunDirectory, there: RunDirectory) -> None:
    there.request_stop()
    there.write_keeper(ProcessIdentity.current())
    assert catch_up(here, there.path).live
    assert here.read_stop_request() == "save" and here.read_keeper()
    there.clear_stop()
    there.keeper.unlink()
    assert not catch_up(here, there.path).live
    assert here.read_stop_request() is None and here.read_keeper() is None


def test_a_link_that_is_cut_at_any_byte_leaves_a_beginning(
    here: RunDirectory, there: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(there, 1, 12)
    there.log.write_text("Unsloth\n")
    with mirror.hold(here) as held:
        assert held
        answer = record_answer(held, there.path)
    for end in range(len(answer)):
        with mirror.hold(here) as held:
            assert held
            cut = frames._read_frames("box", cast(Any, Cut(answer[:end])))
            with pytest.raises(Unreachable):
                held.apply(cut, lambda _: True)
        assert is_prefix(here, there) and is_prefix(here, there, "trainer.log")
        if end % 29 == 0:
            catch_up(here, there.path)
            assert here.events.read_bytes() == there.events.read_bytes()
        for path in (here.events, here.log):
            path.unlink(missing_ok=True)


class Cut:
    """A stream that ends after some bytes."""

    def __init__(self, data: bytes) -> None:
        self.reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)

    def fileno(self) -> int:
        return self.reading

    def read(self) -> bytes:
        return os.read(self.reading, 65536)

    def finish(self) -> None:
        os.close(self.reading)
        raise Unreachable("box", "the connection was cut")


def record_answer(held: mirror.Mirror, there: Path) -> bytes:
    """The bytes that the far end sends."""
    sent = []
    for frame in ask(held, there):
        header = {name: getattr(frame, name) for name in frame.__struct_fields__ if name != "data"}
        sent.append(json.dumps(header).encode() + b"\n" + frame.data)
    assert len(b"".join(sent)) < 65536  # a pipe takes it
    return b"".join(sent)


@pytest.mark.parametrize("size", [0, 1, 700, -1, -40])
def test_continues_from_any_torn_line(here: RunDirectory, there: RunDirectory, size: int) -> None:
    write_events(there, 1, 400)
    here.events.write_bytes(there.events.read_bytes()[:size])
    catch_up(here, there.path)
    assert here.events.read_bytes() == there.events.read_bytes()


def cut_last_event(run: RunDirectory) -> None:
    os.truncate(run.events, run.events.stat().st_size - 30)  # a power failure


def cut_and_go_on(run: RunDirectory) -> None:
    cut_last_event(run)
    write_events(run, 9000, 9100)


def replace_events(run: RunDirectory) -> None:
    run.events.rename(run.path / "events.old")
    write_events(run, 1, 3)


def empty_events(run: RunDirectory) -> None:
    run.events.write_bytes(b"")


@pytest.mark.parametrize("change", [cut_last_event, cut_and_go_on, replace_events, empty_events])
@pytest.mark.parametrize("while_watched", [False, True])
def test_another_file_there_is_fetched_anew(
    here: RunDirectory, there: RunDirectory, change: Callable[[RunDirectory], None], while_watched: bool
) -> None:
    write_events(there, 1, 500)
    if while_watched:
        with Watch(here, there):
            until(lambda: here.events.exists() and here.events.stat().st_size == there.events.stat().st_size)
            inode = here.events.stat().st_ino
            change(there)
            until(lambda: here.events.read_bytes() == there.events.read_bytes())
    else:
        catch_up(here, there.path)
        inode = here.events.stat().st_ino
        change(there)
        catch_up(here, there.path)
    assert here.events.read_bytes() == there.events.read_bytes()
    assert here.events.stat().st_ino != inode  # so that viewers begin anew
    assert not list(here.path.glob(".*.tmp"))


def test_keeps_its_events_when_they_are_deleted_there(here: RunDirectory, there: RunDirectory) -> None:
    write_events(there, 1, 50)
    catch_up(here, there.path)
    data = there.events.read_bytes()
    there.events.unlink()
    catch_up(here, there.path)
    assert here.events.read_bytes() == data


class Watch:
    """Watch a live run in a thread, as a viewer does. The keeper over there is the test."""

    def __init__(self, here: RunDirectory, there: RunDirectory) -> None:
        there.write_keeper(ProcessIdentity.current())
        self.connection, self.seen = NearConnection(), list[mirror.Seen]()
        self.ended: BaseException | None = None
        self._here, self._there, self._stop = here, there, threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._there.keeper.unlink(missing_ok=True)
        self._stop.set()
        self.thread.join()

    def _watch(self) -> None:
        try:
            with mirror.hold(self._here) as held:
                assert held
                stream = frames.ask(
                    cast(Connection, self.connection), make_root(self._there.path), "watch", 30.0,
                    folder=str(self._there.path), once=False, **held.make_request(),
                )  # fmt: skip
                held.apply(stream, self._on_seen)
        except Unreachable as error:
            self.ended = error

    def _on_seen(self, seen: mirror.Seen) -> bool:
        self.seen.append(seen)
        return not self._stop.is_set()


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


def test_a_full_disk_here_loses_nothing(
    here: RunDirectory, there: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(there, 1, 3000)
    write, room = os.write, 5000

    def write_some(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= (written := write(descriptor, data[:room]))
        return written

    with monkeypatch.context() as patch:
        patch.setattr(mirror.os, "write", write_some)
        with pytest.raises(OSError, match="No space left"):
            catch_up(here, there.path)
    assert here.events.stat().st_size == 5000 and is_prefix(here, there)
    catch_up(here, there.path)
    assert here.events.read_bytes() == there.events.read_bytes()


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


def test_strange_answers_write_nothing(here: RunDirectory, tmp_path: Path) -> None:
    outside = [
        {"kind": "data", "size": 4, "name": "../evil"},
        {"kind": "file", "size": 4, "name": "/etc/evil"},
        {"kind": "file", "size": 4, "name": "note.txt"},
        {"kind": "data", "size": 4, "name": "rank-1.log\n"},
    ]
    before = {path.name for path in here.path.iterdir()}
    for header in outside:
        with mirror.hold(here) as held, pytest.raises(Unreachable):
            assert held
            answer = Cut(json.dumps(header).encode() + b"\nevil")
            held.apply(frames._read_frames("box", cast(Any, answer)), lambda _: True)
    for text in (b"Welcome to box!\n", b"{" * 9000, b'{"kind":"data","size":-1}\n', b'{"kind":"data","size":1e12}\n'):
        with mirror.hold(here) as held, pytest.raises(Unreachable, match="can't be understood"):
            assert held
            held.apply(frames._read_frames("box", cast(Any, Cut(text))), lambda _: True)
    assert {path.name for path in here.path.iterdir()} - {mirror.LOCK} == before


def test_a_pipe_there_blocks_nothing(here: RunDirectory, there: RunDirectory) -> None:
    os.mkfifo(there.events)
    os.mkfifo(there.process)
    (there.path / "trainer.log").symlink_to("/etc/passwd")
    assert not catch_up(here, there.path).live
    assert not here.events.exists() and not here.log.exists()


def test_the_far_end_needs_nothing_but_an_old_python() -> None:
    import ast

    text = Path(far_end.__file__).read_text()
    ast.parse(text, feature_version=(3, 8))
    names = {n.module or "" if isinstance(n, ast.ImportFrom) else n.names[0].name for n in ast.walk(ast.parse(text))
             if isinstance(n, ast.Import | ast.ImportFrom)}  # fmt: skip
    assert names <= sys.stdlib_module_names | {"__future__"}
