"""Progress over the network, as it is shown on a pipe and on a terminal."""

import os
import pty
import subprocess
import sys

from codex_tui.base.progress import Progress
from codex_tui.commands.progress import line_of, size

SENDING = """
import sys, time
from codex_tui.commands.progress import progress
from codex_tui.base.progress import Progress
with progress() as tell:
    for done in range(int(sys.argv[1])):
        tell(Progress("sending \\x1b]0;a.jsonl", done * 1_000_000, 10_000_000))
        time.sleep(0.2)
"""


def test_a_line_tells_bytes_of_how_many_and_how_long() -> None:
    assert (
        line_of(Progress("sending a", 20_000_000, 80_000_000), 10)
        == "sending a  20.0 of 80.0 MB  0:10, about 0:30 left"
    )
    assert line_of(Progress("sending a", 20_000_000, 80_000_000), 1) == "sending a  20.0 of 80.0 MB  0:01"
    assert line_of(Progress("going on", 60, 80), 10, first_done=50) == "going on  60 of 80 B  0:10, about 0:20 left"
    assert line_of(Progress("counting", 4000, unit="rows"), 3) == "counting  4,000 rows  0:03"
    assert line_of(Progress("making me/a"), 3) == "making me/a  0:03"


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1_000, 1_234_567, 5 * 10**9)] == ["0 B", "999 B", "1.0 kB", "1.2 MB", "5.0 GB"]


def told(ticks: int, *, terminal: bool) -> str:
    reader, writer = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen([sys.executable, "-c", SENDING, str(ticks)], stderr=writer)
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
