"""Completion, as the shells ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_runs import make_run

from codex_tui.base import locations
from codex_tui.cli import main
from training.contract import events as ev

BASH = """
eval "$(codex-tui completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete codex-tui
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { :; }
_describe() { print -rl -- ${${(P)2}%%:*} }
eval "$(codex-tui completion zsh)"
words=(${(z)1}); [[ $1 = *' ' ]] && words+=('')
CURRENT=$#words BUFFER=$1 CURSOR=$#1
service=codex-tui
_python_argcomplete codex-tui
"""
FISH = 'codex-tui completion fish | source; complete --do-complete "$argv[1]"'
SHELLS = {"bash": ["bash", "-c", BASH, "bash"], "zsh": ["zsh", "-f", "-c", ZSH, "zsh"], "fish": ["fish", "-c", FISH]}


@pytest.fixture
def program(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put `codex-tui` on the PATH, and start the shells in an empty folder."""
    folder = empty_home / "bin"
    folder.mkdir()
    script = folder / "codex-tui"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m codex_tui "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    here = empty_home / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def complete(line: str, shell: str = "bash") -> set[str]:
    done = subprocess.run([*SHELLS[shell], line], capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr
    return {answer.split("\t")[0].strip() for answer in done.stdout.splitlines() if answer.strip()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_profiles_and_runs(shell: str, program: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    make_run("zombies-1", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    assert {"compare", "completion", "config"} == complete("codex-tui co", shell)
    assert "--headless" in complete("codex-tui train --h", shell)
    assert "rtx3050-4gb" in complete("codex-tui train ", shell)
    assert {"zombies-1"} == complete("codex-tui chat zom", shell)


def test_each_kind_of_argument_has_its_values(program: Path) -> None:
    make_run("zombies-1", ev.Started(attempt=1, pid=1), ev.Done(step=1))
    (locations.runs_home() / "odd; $(touch evil)").mkdir()
    (locations.runs_home() / "odd; $(touch evil)" / "events.jsonl").touch()
    (program / "rows.jsonl").touch()
    (program / "mine.toml").touch()
    assert complete("codex-tui attach ") == {"last", "zombies-1"}
    assert complete("codex-tui runs note z") == {"zombies-1"}
    assert complete("codex-tui compare last z") == {"zombies-1"}
    assert complete("codex-tui data check --profile rtx") >= {"rtx3050-4gb"}
    assert complete("codex-tui profile show mi") == {"mine.toml"}
    assert complete("codex-tui data check ro") == {"rows.jsonl"}
    assert complete("codex-tui train demo --dataset ro") == {"rows.jsonl"}
    assert complete("codex-tui profile explain lora.lora_al") == {"lora.lora_alpha"}
    assert complete("codex-tui profile explain lora_al") == {"lora_alpha"}  # `explain` takes the last name, too
    assert complete("codex-tui train demo --set lora.lora_al") == {"lora.lora_alpha="}
    assert complete("codex-tui config app.") == {"app.low_bandwidth", "app.theme"}
    assert complete("codex-tui completion f") == {"fish"}
    assert complete("codex-tui data push rows.jsonl ") == set()
    assert complete("codex-tui data ") >= {"check", "view", "push", "pull", "status"}
    assert not (program / "evil").exists()


def test_damaged_files_complete_nothing_and_say_nothing(program: Path) -> None:
    locations.runs_home().parent.mkdir(parents=True)
    locations.runs_home().touch()
    assert complete("codex-tui chat ") == set()
    assert {entry.name for entry in program.iterdir()} == set()


def test_each_shell_gets_its_script(empty_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shell, word in (("bash", "complete "), ("zsh", "compdef"), ("fish", "complete --command codex-tui")):
        assert main(["completion", shell]) == 0
        assert word in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["completion", "csh"])
    assert ended.value.code == 2
    assert "bash" in capsys.readouterr().err
