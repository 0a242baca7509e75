"""A damaged remotes.toml: commands that list what this machine knows go on, those that need a remote refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engine_runs import put_on_box
from support.fake_runs import as_json, make_run

from codex_tui.cli import main
from codex_tui.engines.ssh.remote.remotes import remotes_file
from training.contract import events as ev

pytestmark = pytest.mark.usefixtures("empty_home")

GOOD = '[box]\nhost = "me@nowhere.invalid"\nroot = "/r"\n'
BAD_TOML = '[box]\nhost = "me@nowhere.invalid"\nroot = /r\n'
DAMAGES = [
    (BAD_TOML.encode(), "line 3: not valid TOML"),
    (f'{GOOD}\n[lab]\nhost = "lab"\nroot = "r"\n'.encode(), "line 7: root of [lab] is wrong or missing."),
    (f'{GOOD}[lab]\nroot = "/r"\n'.encode(), "line 4: host of [lab] is wrong or missing."),
    (f'{GOOD}["b x"]\nhost = "lab"\n'.encode(), "line 4: 'b x' can't be the name of a remote."),
    (f"{GOOD}# ".encode() + b"\xff\n", "line 4: not UTF-8."),
]


def write(content: bytes) -> Path:
    path = remotes_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def join_lines(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("content", "problem"), DAMAGES)
def test_the_queue_is_listed_with_one_warning(content: bytes, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(content)
    assert main(["queue"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "No run trains or waits. Queue one with: codex-tui train PROFILE --queue\n"
    assert printed.err.startswith(f"! {path}, {problem}") and printed.err.count("\n") == 1


def test_the_runs_are_listed_and_one_of_a_remote_says_why_it_can_not_be_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(BAD_TOML.encode())
    put_on_box(make_run("a", ev.Started(attempt=1, pid=1)), "running")
    make_run("b", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    assert main(["runs", "--json"]) == 0
    states = {run["name"]: (run["state"], run["reason"]) for run in as_json(capsys)}
    assert states["b"][0] == "done" and states["a"][0] == "unreachable"
    assert f"{path}, line 3: not valid TOML" in states["a"][1]


@pytest.mark.parametrize(("content", "problem"), DAMAGES)
def test_a_command_that_needs_a_remote_names_file_and_line(
    content: bytes, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(content)
    put_on_box(make_run("a", ev.Started(attempt=1, pid=1)), "running")
    for arguments in (["queue", "--on", "box"], ["remote", "list"], ["forecast", "demo", "--on", "box"], ["stop", "a"]):
        assert main(arguments) == 2
        assert f"codex-tui: {path}, {problem}" in join_lines(capsys.readouterr().err)
    assert path.read_bytes() == content
