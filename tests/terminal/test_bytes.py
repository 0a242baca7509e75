"""Only changed cells are sent, and yet the terminal shows what all cells sent anew would."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from support.terminal import Terminal

WORDS = "What 为什么 does the shovel 🪓 do, a\u0301 part from digging?"


@pytest.fixture
def rows(home: Path) -> Path:
    path = home / "rows.jsonl"
    pairs = [{"instruction": f"{number}: {WORDS}", "response": f"It {number} digs. " * 9} for number in range(500)]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    return path


def assert_as_drawn_anew(terminal: Terminal) -> None:
    """After another size and back nothing of what was sent before counts."""
    terminal.settle(quiet=0.8)
    shown = terminal.cells
    terminal.resize(119, 36)
    terminal.settle()
    terminal.resize(120, 36)
    deadline = time.monotonic() + 20
    while terminal.cells != shown and time.monotonic() < deadline:  # a busy machine may be quiet before it draws
        terminal.read(0.2)
    assert terminal.cells == shown, terminal.text


def test_a_key_costs_what_it_changes(codex_tui: str, rows: Path) -> None:
    with Terminal([codex_tui, "data", "view", str(rows), "--no-low-bandwidth"]) as terminal:
        terminal.until("500 rows")
        terminal.settle()
        for key, most in (("down", 2_000), ("k", 2_000), ("G", 9_000), ("k", 2_000), ("/", 9_000), ("esc", 9_000)):
            before = len(terminal.received)
            terminal.send(key)
            terminal.settle()
            assert len(terminal.received) - before <= most, key  # of 17,000 for the whole screen
        assert_as_drawn_anew(terminal)
        terminal.type("esc", "home", "tab", "3", " ", "\x14")
        assert_as_drawn_anew(terminal)


def test_what_another_program_drew_is_not_taken_for_ones_own(codex_tui: str, home: Path) -> None:
    editor = home / "editor"
    editor.write_text("#!/bin/sh\nprintf '\\033[2J\\033[5;5HSOMETHING ELSE'\nsleep 0.3\n")
    editor.chmod(0o700)
    with Terminal([codex_tui], env={"EDITOR": str(editor), "VISUAL": ""}) as terminal:
        terminal.until("rtx4060")
        terminal.settle()
        terminal.send("E")
        terminal.until("SOMETHING ELSE")
        terminal.until("rtx4060")
        assert_as_drawn_anew(terminal)
        assert "SOMETHING ELSE" not in terminal.text
        os.kill(terminal.pid, signal.SIGTSTP)
        terminal.read(0.3)
        os.kill(terminal.pid, signal.SIGCONT)
        assert_as_drawn_anew(terminal)
        terminal.type("?")
        assert_as_drawn_anew(terminal)
        terminal.type("esc", "o")
        assert_as_drawn_anew(terminal)
