"""What the far end answers, whole, cut at any byte, or strange."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from support.mirrors import Cut, ask, catch_up, is_prefix, write_events

from codex_tui.engines.ssh import far_end, frames, mirror
from codex_tui.engines.ssh.link.failures import Unreachable
from training.contract.run_directory import RunDirectory


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


def record_answer(held: mirror.Mirror, there: Path) -> bytes:
    """The bytes that the far end sends."""
    sent = []
    for frame in ask(held, there):
        header = {name: getattr(frame, name) for name in frame.__struct_fields__ if name != "data"}
        sent.append(json.dumps(header).encode() + b"\n" + frame.data)
    assert len(b"".join(sent)) < 65536  # a pipe takes it
    return b"".join(sent)


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
