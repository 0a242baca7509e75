"""Ends the product's processes with SIGKILL, at the kill points of points.py, and checks what is left."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from support.kill.points import PATIENCE, STARTUP_SECONDS, KillPoint, temporary_files
from support.terminal import Terminal
from support.training_runs import events, losses
from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "codex_tui"]
END_STATES = ("lost", "stopped", "failed", "done")
PROFILE = {
    "training.max_steps": 180,
    "lora.lora_dropout": 0.1,  # so that the random state matters
    "evaluation.eval_steps": 60,
    "evaluation.sample_max_new_tokens": 4,
    "checkpoints.save_steps": 3,
}


@dataclass
class Tally:
    """Counts what was killed, and keeps every false statement and every loss of data that was found."""

    kills: Counter[str] = field(default_factory=Counter)
    during_write: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    runs: int = 0
    min_kills: int = 99  # of one run's trainer
    identical: int = 0
    problems: list[str] = field(default_factory=list)

    def expect(self, condition: object, problem: str) -> None:
        if not condition:
            self.problems.append(problem)
            print(f"  ! {problem}", flush=True)


class LocalUser:
    """Someone with a CODEX_TUI_HOME of their own, who types commands; a test kills the processes."""

    def __init__(self, folder: Path, python: Path, tally: Tally, seed: int) -> None:
        self.home, self.tally, self.rng = folder, tally, random.Random(seed)
        self.profile: dict[str, Any] = PROFILE
        self.environment = {
            **os.environ,
            "CODEX_TUI_HOME": str(folder),
            "CUDA_VISIBLE_DEVICES": "",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }
        (folder / "config").mkdir(parents=True)
        (folder / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(python))}\n")

    def run_directory(self, name: str) -> RunDirectory:
        return RunDirectory(self.home / "data" / "runs" / name)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment, cwd=self.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run_command(self, *arguments: str, code: int | None = 0) -> str:
        """Run a command to its end and return what it prints. Any exit code is right if `code` is None."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=PATIENCE)
        self.tally.expect("Traceback" not in output, f"{arguments} shows a traceback: {output[-800:]}")
        right = code is None or process.returncode == code
        self.tally.expect(right, f"{arguments}: {process.returncode}: {output[-300:]}")
        return output

    def list_run(self, name: str) -> dict[str, Any]:
        """What `runs --json` says about one run."""
        return next(run for run in json.loads(self.run_command("runs", "--json")) if run["name"] == name)

    def train(self, name: str) -> subprocess.Popen[str]:
        """Start or resume a run; the process that is returned is its viewer."""
        if self.run_directory(name).config.exists():
            self.tally.resumes += 1
            return self.start("resume", name, "--headless")
        sets = [part for key, value in self.profile.items() for part in ("--set", f"{key}={value}")]
        return self.start("train", "demo", "--name", name, "--headless", *sets)


def find_trainer(run: RunDirectory) -> psutil.Process | None:
    """The process that trains, if there is one."""
    identity = run.read_process()
    if identity is None or not identity.is_alive():
        return None
    with contextlib.suppress(psutil.Error):
        return psutil.Process(identity.pid)
    return None


def find_keeper(run: RunDirectory) -> psutil.Process | None:
    identity = run.read_keeper()
    if identity is None or not identity.is_alive():
        return None
    with contextlib.suppress(psutil.Error):
        return psutil.Process(identity.pid)
    return None


def find_parent(trainer: psutil.Process) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        parent = trainer.parent()
        return parent if parent and "training" in parent.cmdline() else None
    return None


def kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGKILL)
    wait_until_gone(process)


def wait_until_gone(process: psutil.Process) -> None:
    """A zombie counts as gone: the process that started it may be busy."""
    end = time.monotonic() + PATIENCE
    with contextlib.suppress(psutil.Error):
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.002)


def kill_trainer(user: LocalUser, name: str, kill_point: KillPoint, *, parent_first: bool = False) -> bool:
    """Start or resume the run, kill its trainer at `kill_point`, and check what is left. False if the run was done
    before that."""
    run, tally = user.run_directory(name), user.tally
    old_files = len(temporary_files(run))
    viewer = user.train(name)
    while not run.is_trainer_alive() and viewer.poll() is None:
        time.sleep(0.002)
    if parent_first:
        time.sleep(user.rng.uniform(0, 0.6 * STARTUP_SECONDS))
        if (trainer := find_trainer(run)) and (parent := find_parent(trainer)):
            kill(parent)
            tally.kills["keeper"] += 1
            tally.expect(trainer.is_running(), f"{name}: the trainer died with its parent")
    write = kill_point(run, user.rng)
    trainer = find_trainer(run)
    parent = find_parent(trainer) if trainer else None
    if trainer is not None:
        kill(trainer)
        tally.kills["trainer"] += 1
        if write == "event" or (write == "JSON file" and len(temporary_files(run)) > old_files):
            tally.during_write[write] += 1
        elif (run.checkpoints / checkpoints.UNFINISHED).exists():
            tally.during_write["checkpoint"] += 1
        if parent:  # it still writes exit.json
            wait_until_gone(parent)
    output, _ = viewer.communicate(timeout=PATIENCE)
    last = events(run)[-1]["type"] if events(run) else ""
    killed = trainer is not None and last not in ("done", "stopped", "failed")
    check_what_is_left(user, name, output, killed=killed, parent_lived=killed and parent is not None)
    return last != "done"


def check_what_is_left(user: LocalUser, name: str, output: str, *, killed: bool, parent_lived: bool) -> None:
    """Check that every file is whole, and that `runs` and the viewer's `output` say what is true. If `parent_lived`,
    the trainer's parent saw which signal ended the trainer."""
    run, tally = user.run_directory(name), user.tally
    tally.expect("Traceback" not in output, f"{name}: the viewer shows a traceback: {output[-600:]}")
    lines = run.events.read_bytes().split(b"\n") if run.events.exists() else [b""]
    for line in lines[:-1]:  # the last is torn, or empty
        try:
            json.loads(line)
        except ValueError:
            tally.problems.append(f"{name}: a damaged event: {line[:80]!r}")
    for path in (run.config, run.process, run.keeper, run.exit):
        if path.exists():
            try:
                json.loads(path.read_text())
            except ValueError:
                tally.problems.append(f"{name}: {path.name} is damaged")
    found = checkpoints.list_checkpoints(run.checkpoints)
    for path in found:
        tally.expect(checkpoints.is_whole(path), f"{name}: {path.name} has its name and is not whole")
    step = checkpoints.parse_step(found[-1]) if found else 0
    entry = user.list_run(name)
    if killed:
        tally.expect(entry["state"] == "lost", f"{name} was killed, and `runs` says {entry['state']}")
        tally.expect(entry["resume_step"] == step, f"{name}: `runs` says step {entry['resume_step']}, not {step}")
        for text in (entry["reason"], output) if parent_lived else ():
            tally.expect("by SIGKILL" in text, f"{name}: nobody says what killed it: {text[-300:]}")
        advice = f"Resume from the last checkpoint, step {step}:" if step else "Start it again:"
        tally.expect(advice in output, f"{name}: the viewer does not say {advice!r}: {output[-300:]}")
    else:
        tally.expect(entry["state"] in END_STATES, f"{name} is {entry['state']}, and nothing trains")


def start_viewer_to_kill(user: LocalUser, name: str) -> threading.Thread:
    """Start the app or a second viewer on the run, and kill it some time later. The trainer must not notice."""
    kind = user.rng.choice(("app", "viewer"))
    delay, life = user.rng.uniform(0, STARTUP_SECONDS), user.rng.uniform(0.05, 3.0)

    def live_and_die() -> None:
        time.sleep(delay)
        if not user.run_directory(name).config.exists():
            return
        if kind == "app":
            with Terminal([*COMMAND, "attach", name], env=user.environment) as terminal:
                terminal.read(life)
                os.kill(terminal.pid, signal.SIGKILL)
        else:
            viewer = user.start("attach", name, "--headless")
            time.sleep(life)
            viewer.kill()
            viewer.communicate()
        user.tally.kills[kind] += 1

    thread = threading.Thread(target=live_and_die)
    thread.start()
    return thread


def train_to_the_end(user: LocalUser, name: str) -> RunDirectory:
    run = user.run_directory(name)
    for _ in range(3):
        if run.has_adapter() and events(run)[-1]["type"] == "done":
            break
        user.train(name).communicate(timeout=2 * PATIENCE)
    user.tally.expect(user.list_run(name)["state"] == "done", f"{name} did not come to its end")
    return run


def fingerprint(run: RunDirectory) -> tuple[dict[int, tuple[float, ...]], dict[int, float], str]:
    """The joined curve (loss, gradient norm, learning rate by step), the evaluations, and the adapter's sha256."""
    adapter = (run.adapter / "adapter_model.safetensors").read_bytes()
    evaluated = {event["step"]: event["eval_loss"] for event in events(run, "eval")}
    return losses(run), evaluated, hashlib.sha256(adapter).hexdigest()


def compare_with(user: LocalUser, name: str, undisturbed: RunDirectory) -> None:
    user.tally.runs += 1
    ours, theirs = fingerprint(user.run_directory(name)), fingerprint(undisturbed)
    for part, one, other in zip(("losses", "evaluations", "adapter"), ours, theirs, strict=True):
        if one != other:
            user.tally.problems.append(f"{name}: its {part} differ from the uninterrupted run's")
            return
    user.tally.identical += 1


def kill_chat_worker(user: LocalUser, name: str) -> None:
    """Kill the worker behind `codex-tui chat --prompt`: the command says so in one clear sentence. A run that was lost
    before its first checkpoint has no adapter, so the command refuses to start a worker."""
    can_answer = checkpoints.find_chat_adapter(user.run_directory(name)) is not None
    chat = user.start("chat", name, "--prompt", "Which weapon first?", "--max-new-tokens", "200")
    time.sleep(user.rng.uniform(0.3, STARTUP_SECONDS))
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(chat.pid).children():
            if "training" in child.cmdline():  # another child is a question to the interpreter
                kill(child)
                user.tally.kills["chat worker"] += 1
    output, _ = chat.communicate(timeout=PATIENCE)
    user.tally.expect("Traceback" not in output, f"chat shows a traceback: {output[-600:]}")
    user.tally.expect(can_answer or chat.returncode, f"chat answers for {name}, which has no adapter: {output}")
    if chat.returncode:
        message = "The worker ended by signal SIGKILL" if can_answer else "has no adapter and no whole checkpoint"
        user.tally.expect(message in output, f"chat does not say what happened: {output}")
