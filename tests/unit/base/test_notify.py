"""What the terminal gets for an event, and how the person's command is run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codex_tui.base import notify

FACTS = {"event": "done", "run": "zombies-1", "title": "zombies-1 is done", "message": "$(touch owned); `id` {run}"}
PRINT = "import os, sys; open(sys.argv[1], 'w').write('|'.join([*sys.argv[2:], os.environ['CODEX_TUI_MESSAGE']]))"


@pytest.mark.parametrize(
    ("environ", "sequence"),
    [
        ({"TERM": "xterm-256color"}, "\x1b]9;a is done: 1:05, fine\a"),
        ({"TERM": "xterm-kitty"}, "\x1b]9;a is done: 1:05, fine\a"),
        ({"TERM": "foot"}, "\x1b]777;notify;a is done;1:05, fine\a"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "\x1b]777;notify;a is done;1:05, fine\a"),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, "\x1b]777;notify;a is done;1:05, fine\a"),
        ({"TERM": "tmux-256color"}, "\x1bPtmux;\x1b\x1b]9;a is done: 1:05, fine\a\x1b\\"),
        ({"TERM": "screen-256color", "TMUX": "/tmp/x"}, "\x1bPtmux;\x1b\x1b]9;a is done: 1:05, fine\a\x1b\\"),
    ],
)
def test_each_terminal_gets_a_bell_and_one_notification(environ: dict[str, str], sequence: str) -> None:
    assert notify.format_notification("a is done", "1:05; fine", environ) == "\a" + sequence


def test_the_command_gets_the_facts_without_a_shell(tmp_path: Path) -> None:
    file = tmp_path / "written"
    command = [sys.executable, "-c", PRINT, str(file), "{run}", "a {message}", "{unknown}", '{"text": "{title}"}']
    assert notify.run_command(command, FACTS) == ""
    message = FACTS["message"]
    assert file.read_text() == "|".join(
        ["zombies-1", f"a {message}", "{unknown}", '{"text": "zombies-1 is done"}', message]
    )
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["/no/such/program"], "/no/such/program can't be started: No such file or directory."),
        ([""], "can't be started"),
        ([sys.executable, "-c", "import sys; sys.exit('no \x1b[2J server')"], "exit code 1: no ␛[2J server"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended with exit code 3."),
    ],
)
def test_a_command_that_fails_says_why(command: list[str], problem: str) -> None:
    assert problem in notify.run_command(command, FACTS)


def test_a_command_that_never_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "COMMAND_SECONDS", 0.5)
    assert "took longer" in notify.run_command([sys.executable, "-c", "import time; time.sleep(600)"], FACTS)
