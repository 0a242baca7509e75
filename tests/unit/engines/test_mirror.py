"""A mirror is at every moment the beginning of the file over there, and in the end equal to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from support.kept_runs import until
from support.mirrors import Watch, catch_up, is_prefix, write_events

from codex_tui.engines.ssh import mirror
from training.contract.config import RunConfig
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


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
