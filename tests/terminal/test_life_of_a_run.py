"""A run from start to chat, through a real terminal that is closed hard in the middle. Real Unsloth, real pty."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from support.terminal import PATIENCE, TRAINING_PATIENCE, Terminal

import training
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.timeout(600)


def runs(codex_tui: str) -> list[dict]:
    return json.loads(subprocess.run([codex_tui, "runs", "--json"], capture_output=True, text=True, check=True).stdout)


def workers_of(run: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "training" in command and str(run) in command and ("chat" in command or "inspect" in command):
            found.append(process)
    return found


def test_started_hung_up_attached_and_asked(codex_tui: str, home: Path) -> None:
    run = RunDirectory(home / "data" / "runs" / "demo-1")
    with Terminal([codex_tui, "demo"]) as first:
        first.until(r"training.*\n(.*\n)*.*step\s+[1-9]", timeout=TRAINING_PATIENCE)
        before = first.step
        drawn = first.dots
        first.until(rf"step\s+(?!{before} )\d+ / ")
        assert first.step > before
        first.hang_up()  # no goodbye: the link is gone

    identity = run.read_process()
    assert identity is not None
    assert identity.is_alive(), run.log.read_text()
    assert os.getsid(identity.pid) not in (identity.pid, os.getsid(0))  # its parent's, which is no terminal's

    with (
        Terminal([codex_tui, "attach"]) as second,
        Terminal([codex_tui, "attach", "demo"], columns=80, rows=24) as third,
    ):
        second.until(r"demo-1(.*\n)*.*step\s+[1-9]")
        second.until_drawn(drawn // 2)  # the history is there; its scale may be another by now
        third.until(r"step\s+[1-9]")
        second.until(r"✓ done", timeout=TRAINING_PATIENCE)
        third.until(r"✓ done")
        third.type("q")
        assert third.wait() == 0

        question, answer = second_row()
        second.type("c")
        second.type(question, "enter")
        second.until(re.escape(answer[:20]))
        second.until(r"tokens, \d+ tokens/s")  # while the answer grows, Escape would stop it and not leave chat
        assert workers_of(run.path)
        second.type("esc", "q")
        assert second.wait() == 0
    assert not workers_of(run.path)  # the memory is free again

    [told] = runs(codex_tui)
    assert (told["name"], told["state"]) == ("demo-1", "done")
    assert told["step"] == told["total_steps"]
    assert told["adapter"] == str(run.adapter)


def second_row() -> tuple[str, str]:
    rows = Path(training.__file__).parent / "demo" / "zombie_waves.jsonl"
    row = json.loads(rows.read_text().splitlines()[1])  # the first is the one that the run itself asks
    return row["instruction"], row["response"]


def test_ctrl_c_of_a_headless_viewer_leaves_the_run_alone(codex_tui: str, home: Path) -> None:
    command = [codex_tui, "demo", "--headless", "--name", "kept"]
    viewer = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & has it ignored
    )
    assert viewer.stdout is not None
    run = RunDirectory(home / "data" / "runs" / "kept")
    lines = []
    for line in viewer.stdout:
        lines.append(line)
        if line.startswith("loading"):
            break
    viewer.send_signal(signal.SIGINT)
    rest, _ = viewer.communicate(timeout=PATIENCE)
    assert viewer.returncode == 130
    assert "Come back with: codex-tui attach kept" in rest
    assert run.is_trainer_alive()
    subprocess.run([codex_tui, "stop", "kept"], check=True)
    subprocess.run([codex_tui, "stop", "kept"], check=False)  # a second time: at once
    deadline = time.monotonic() + PATIENCE
    while run.is_trainer_alive() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not run.is_trainer_alive()
    assert runs(codex_tui)[0]["state"] == "stopped"
