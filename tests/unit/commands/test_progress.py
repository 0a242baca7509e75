"""Progress as it is printed on a pipe and on a terminal."""

import os
import pty
import subprocess
import sys

import pytest
from support.programs import PROGRAMS
from support.progress_lines import without_progress

from codex_tui.base.progress import Progress, ProgressTracker
from codex_tui.base.text import format_size
from codex_tui.commands.progress import format_progress


def line(now: Progress, elapsed: float, first_done: int = 0) -> str:
    """The line for `now`, `elapsed` seconds after its step began with `first_done` done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic", lambda: 100.0)
        tracker = ProgressTracker(Progress(now.step, first_done))
        tracker.update(now)
        patch.setattr("time.monotonic", lambda: 100.0 + elapsed)
        return format_progress(tracker)


def test_a_line_shows_the_amount_the_time_and_what_is_left() -> None:
    sending = Progress("sending a", 20_000_000, 80_000_000)
    assert line(sending, 10) == "sending a  20.0 of 80.0 MB  0:10, about 0:30 left"
    assert line(sending, 1) == "sending a  20.0 of 80.0 MB  0:01"
    assert line(Progress("going on", 60, 80), 10, first_done=50) == "going on  60 of 80 B  0:10, about 0:20 left"
    assert line(Progress("counting", 4000, unit="rows"), 3) == "counting  4,000 rows  0:03"
    assert line(Progress("counting", 2000, 8000, "rows"), 4) == "counting  2,000 of 8,000 rows  0:04, about 0:12 left"
    assert line(Progress("making me/a"), 3) == "making me/a  0:03"


def test_a_line_shows_the_estimate_of_the_work_itself_and_its_detail() -> None:
    installing = Progress("installing torch", 12, 81, "packages", "20 of 160 MiB: \x1b[2Jtorch", 20.0)
    assert line(installing, 1) == (
        "installing torch  12 of 81 packages  0:01, about 0:20 left  20 of 160 MiB: ␛[2Jtorch"
    )


def test_packages_have_no_pace() -> None:
    assert line(Progress("installing torch", 12, 81, "packages"), 60) == "installing torch  12 of 81 packages  1:00"


def test_sizes() -> None:
    assert [format_size(n) for n in (0, 999, 1_000, 1_234_567, 5 * 10**9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "5.0 GB",
    ]


def told(ticks: int, *, terminal: bool) -> str:
    reader, writer = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen([sys.executable, PROGRAMS / "report_progress.py", str(ticks)], stderr=writer)
    assert process.wait(60) == 0
    os.write(writer, b"#")
    os.close(writer)
    heard = b""
    while not heard.endswith(b"#"):
        heard += os.read(reader, 4096)
    os.close(reader)
    return heard.decode()


def test_a_terminal_gets_one_line_that_moves_and_goes() -> None:
    heard = told(12, terminal=True)
    assert "\n" not in heard
    lines = heard.split("\r\x1b[2K")
    assert len(lines) >= 3
    assert lines[0] == ""
    assert lines[1].startswith("sending ␛]0;a.jsonl  ")
    assert lines[-1] == "#"


def test_a_pipe_gets_plain_lines() -> None:
    heard = told(12, terminal=False)
    assert heard.startswith("sending ␛]0;a.jsonl  ")
    assert heard.endswith("\n#")
    assert "\x1b" not in heard
    assert "\r" not in heard


def test_what_takes_no_second_is_not_told() -> None:
    assert told(1, terminal=True) == told(1, terminal=False) == "#"


def test_other_tests_can_tell_progress_from_a_message() -> None:
    message = "codex-tui: a  b: No space left on device.\nFree some space there, then try it again.\n"
    assert without_progress(told(8, terminal=False).removesuffix("#") + message) == message
    for shown in (Progress("a"), Progress("a", 12, 81, "packages", "20 of 160 MiB: torch", 4000.0)):
        assert without_progress(f"{line(shown, 5000)}\n{message}") == message
