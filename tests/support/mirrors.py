"""A run on a remote that is this machine, its mirror, and ways to bring the one to the other."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from codex_tui.engines.ssh import frames, mirror
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import Unreachable
from support.config_file import write_config
from support.near_remote import NearConnection
from training.contract.process import ProcessIdentity
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
