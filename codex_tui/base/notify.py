"""Tells the person about an event: in the terminal (bell, notification, title), and with a command of their own.

The texts must be clean (`codex_tui.base.text`), so that no character in them can end a terminal sequence.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence

from codex_tui.base.locations import expand_home
from codex_tui.base.text import clean, shorten

COMMAND_SECONDS = 30.0  # a command that takes longer is killed
MAX_ERROR = 200  # characters of what a failed command wrote
BELL = "\a"
SAVE_TITLE, RESTORE_TITLE = "\x1b[22;0t", "\x1b]2;\a\x1b[23;0t"
"""Terminals keep a stack of titles. One without a stack gets an empty title, for which it shows its own."""
_OSC_777_TERMS = ("foot", "rxvt", "ghostty", "xterm-ghostty", "wezterm")
_OSC_777_PROGRAMS = ("WezTerm", "ghostty")


def format_title(text: str) -> str:
    """Return the sequence that sets the title of the terminal's window or tab."""
    return f"\x1b]0;{text}\a"


def format_notification(title: str, message: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the sequences that ring the bell and show a notification of the desktop, also over SSH.

    There are two sequences, OSC 9 and OSC 777. A terminal that knows both would show two notifications, so only one is
    sent. Terminals that know neither ignore it. tmux passes it on if its option allow-passthrough is on.
    """
    title, message = (text.replace(";", ",") for text in (title, message))  # a semicolon separates fields
    if _prefers_osc_777(environ):
        sequence = f"\x1b]777;notify;{title};{message}\a"
    else:
        sequence = f"\x1b]9;{title}: {message}\a"
    if environ.get("TMUX") or environ.get("TERM", "").startswith("tmux"):
        sequence = "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return BELL + sequence


def _prefers_osc_777(environ: Mapping[str, str]) -> bool:
    return (
        environ.get("TERM", "").startswith(_OSC_777_TERMS)
        or environ.get("TERM_PROGRAM") in _OSC_777_PROGRAMS
        or "VTE_VERSION" in environ
    )


def run_command(command: Sequence[str], facts: Mapping[str, str]) -> str:
    """Run the person's `command` and wait for its end. Returns one sentence if it failed, else "".

    No shell is used. A fact's name in braces, such as {message}, is replaced in each argument. The command also gets
    each fact as an environment variable: CODEX_TUI_MESSAGE.
    """
    program = str(expand_home(command[0]))
    arguments = [re.sub(r"\{(\w+)\}", lambda name: facts.get(name[1], name[0]), argument) for argument in command[1:]]
    environ = os.environ | {f"CODEX_TUI_{name.upper()}": fact for name, fact in facts.items()}
    label = f"The notify command {shorten(clean(program), MAX_ERROR)}"
    try:
        done = subprocess.run(
            [program, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=COMMAND_SECONDS,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{label} took longer than {COMMAND_SECONDS:.0f} seconds and was killed."
    except (OSError, ValueError) as error:
        return f"{label} can't be started: {getattr(error, 'strerror', None) or error}."
    if not done.returncode:
        return ""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    why = f": {shorten(clean(lines[-1]), MAX_ERROR)}" if lines else "."
    return f"{label} ended with exit code {done.returncode}{why}"
