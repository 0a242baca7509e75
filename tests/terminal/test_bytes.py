"""Only changed cells are sent, and yet the terminal shows what all cells sent anew would."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
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
    terminal.until_true(lambda: terminal.cells == shown, "drawn anew, the screen is another")


def test_a_key_costs_what_it_changes(codex_tui: str, rows: Path) -> None:
    with Terminal([codex_tui, "data", "view", str(rows), "--no-low-bandwidth"]) as terminal:
        terminal.until("500 rows")
        terminal.settle()
        for key, most in (("down", 2_000), ("k", 2_000), ("G", 9_000), ("k", 2_000), ("/", 9_000), ("esc", 9_000)):
            assert len(terminal.answer_to(key)) <= most, key  # of 17,000 for the whole screen
        assert_as_drawn_anew(terminal)
        terminal.type("esc", "home", "tab", "3", " ", "\x14")
        assert_as_drawn_anew(terminal)


def test_what_another_program_drew_is_not_taken_for_ones_own(codex_tui: str, home: Path) -> None:
    editor = home / "editor"
    seen = home / "seen"
    editor.write_text(
        f"#!/bin/sh\nprintf '\\033[2J\\033[5;5HSOMETHING ELSE'\nwhile [ ! -e '{seen}' ]; do sleep 0.05; done\n"
    )
    editor.chmod(0o700)
    with Terminal([codex_tui], env={"EDITOR": str(editor), "VISUAL": ""}) as terminal:
        terminal.until("rtx4060")
        terminal.settle()
        terminal.send("E")
        terminal.until("SOMETHING ELSE")
        seen.touch()
        terminal.until("rtx4060")
        assert_as_drawn_anew(terminal)
        assert "SOMETHING ELSE" not in terminal.text
        os.kill(terminal.pid, signal.SIGTSTP)
        program = psutil.Process(terminal.pid)
        terminal.until_true(lambda: program.status() == psutil.STATUS_STOPPED, "the app did not stop")
        os.kill(terminal.pid, signal.SIGCONT)
        assert_as_drawn_anew(terminal)
        terminal.type("?")
        assert_as_drawn_anew(terminal)
        terminal.type("esc", "o")
        assert_as_drawn_anew(terminal)
