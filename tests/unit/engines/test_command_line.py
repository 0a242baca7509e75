"""The line that a login shell gets, whatever shell it is."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from codex_tui.engines.ssh.link.connection import make_command_line

WORDS = [
    "a b",
    "it's",
    '"$HOME"',
    "*",
    "",
    "-n",
    "two\nlines",
    "back\\\\slash\\",
    "!!",
    "`id`",
    "ä",
    "{a,b}",
    "~",
    "%1",
]


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "fish", "tcsh", "busybox sh"])
def test_each_shell_passes_the_words_on_as_they_are(shell: str) -> None:
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"there is no {shell} here")
    line = make_command_line(["printf", "%s|", *WORDS])
    done = subprocess.run([*shell.split(), "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"{word}|" for word in WORDS)
