"""Ends the product's processes with SIGKILL, at the points of points.py, and looks at what is left."""

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

from support.kill.points import IMPORTS, STUCK, Moment, temporary
from support.terminal import Terminal
from support.training_runs import events, losses
from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "codex_tui"]
ENDED = ("lost", "stopped", "failed", "done")
PROFILE = {
    "training.max_steps": 180,
    "lora.lora_dropout": 0.1,  # so that the random state matters
    "evaluation.eval_steps": 60,
    "evaluation.sample_max_new_tokens": 4,
    "checkpoints.save_steps": 3,
}


@dataclass
class Tally:
    """What was killed, how often in the middle of a write, and every lie and loss that was found."""

    kills: Counter[str] = field(default_factory=Counter)
    in_the_middle: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    runs: int = 0
    fewest: int = 99  # kills of one run's trainer
    identical: int = 0
    problems: list[str] = field(default_factory=list)

    def expect(self, true: object, problem: str) -> None:
        if not true:
            self.problems.append(problem)
            print(f"  ! {problem}", flush=True)


class Person:
    """Someone with a home of their own, whose processes are killed."""

    def __init__(self, folder: Path, python: Path, tally: Tally, seed: int) -> None:
        self.home, self.tally, self.random = folder, tally, random.Random(seed)
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

    def run(self, name: str) -> RunDirectory:
        return RunDirectory(self.home / "data" / "runs" / name)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment, cwd=self.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def says(self, *arguments: str, code: int | None = 0) -> str:
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=STUCK)
        self.tally.expect("Traceback" not in out, f"{arguments} shows a traceback: {out[-800:]}")
        self.tally.expect(
            code is None or process.returncode == code, f"{arguments}: {process.returncode}: {out[-300:]}"
        )
        return out

    def listed(self, name: str) -> dict[str, Any]:
        return next(run for run in json.loads(self.says("runs", "--json")) if run["name"] == name)

    def train(self, name: str) -> subprocess.Popen[str]:
        """Starts the run, or goes on with it; what is returned watches it."""
        if self.run(name).config.exists():
            self.tally.resumes += 1
            return self.start("resume", name, "--headless")
        sets = [part for key, value in self.profile.items() for part in ("--set", f"{key}={value}")]
        return self.start("train", "demo", "--name", name, "--headless", *sets)


def trainer_of(run: RunDirectory) -> psutil.Process | None:
    """The process that trains: until it has spoken, the child of the one that the launcher knows."""
    identity = run.read_process()
    if identity is None or not identity.is_alive():
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(identity.pid)
        children = [child for child in process.children() if "training" in child.cmdline()]
        return children[0] if children else process
    return None


def parent_of(trainer: psutil.Process) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        parent = trainer.parent()
        return parent if parent and "training" in parent.cmdline() else None
    return None


def kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGKILL)
    until_gone(process)


def until_gone(process: psutil.Process, seconds: float = 120.0) -> None:
    """A zombie is gone: whoever started it may be busy."""
    until = time.monotonic() + seconds
    with contextlib.suppress(psutil.Error):
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
            time.sleep(0.002)


def kill_the_trainer(person: Person, name: str, moment: Moment, *, parent_first: bool = False) -> bool:
    """Starts or resumes the run and kills its trainer at `moment`. False where it was done before."""
    run, tally = person.run(name), person.tally
    litter = len(temporary(run))
    viewer = person.train(name)
    while not run.is_trainer_alive() and viewer.poll() is None:
        time.sleep(0.002)
    if parent_first:
        time.sleep(person.random.uniform(0, 0.6 * IMPORTS))
        if (trainer := trainer_of(run)) and (parent := parent_of(trainer)):
            kill(parent)
            tally.kills["supervisor"] += 1
            tally.expect(trainer.is_running(), f"{name}: the trainer died with its parent")
    meant = moment(run, person.random)
    trainer = trainer_of(run)
    parent = parent_of(trainer) if trainer else None
    if trainer is not None:
        kill(trainer)
        tally.kills["trainer"] += 1
        if meant == "event" or (meant == "JSON file" and len(temporary(run)) > litter):
            tally.in_the_middle[meant] += 1
        elif (run.checkpoints / checkpoints.UNFINISHED).exists():
            tally.in_the_middle["checkpoint"] += 1
        if parent:  # it has something to write down
            until_gone(parent)
    told, _ = viewer.communicate(timeout=STUCK)
    last = events(run)[-1]["type"] if events(run) else ""
    killed = trainer is not None and last not in ("done", "stopped", "failed")
    look(person, name, told, killed=killed, seen=killed and parent is not None)
    return last != "done"


def look(person: Person, name: str, told: str, *, killed: bool, seen: bool) -> None:
    """Whether everything on disk is whole, and whether `runs` and the viewer tell the truth about it. `seen`: the
    trainer's parent lived to see by what it was killed."""
    run, tally = person.run(name), person.tally
    tally.expect("Traceback" not in told, f"{name}: the viewer shows a traceback: {told[-600:]}")
    lines = run.events.read_bytes().split(b"\n") if run.events.exists() else [b""]
    for line in lines[:-1]:  # the last is torn, or empty
        try:
            json.loads(line)
        except ValueError:
            tally.problems.append(f"{name}: a damaged event: {line[:80]!r}")
    for path in (run.config, run.process, run.exit):
        if path.exists():
            try:
                json.loads(path.read_text())
            except ValueError:
                tally.problems.append(f"{name}: {path.name} is damaged")
    found = checkpoints.list_checkpoints(run.checkpoints)
    for path in found:
        tally.expect(checkpoints.is_whole(path), f"{name}: {path.name} has its name and is not whole")
    step = checkpoints.parse_step(found[-1]) if found else 0
    listed = person.listed(name)
    if killed:
        tally.expect(listed["state"] == "lost", f"{name} was killed, and is {listed['state']}")
        tally.expect(listed["resume_step"] == step, f"{name}: {listed['resume_step']} is told, {step} is there")
        for text in (listed["reason"], told) if seen else ():
            tally.expect("by SIGKILL" in text, f"{name}: nobody says what killed it: {text[-300:]}")
        says = f"Resume from the last checkpoint, step {step}:" if step else "Start it again:"
        tally.expect(says in told, f"{name}: the viewer does not say {says!r}: {told[-300:]}")
    else:
        tally.expect(listed["state"] in ENDED, f"{name} is {listed['state']}, and nothing trains")


def bystander(person: Person, name: str) -> threading.Thread:
    """Starts the app or a second viewer on the run, and kills it some time later. The trainer must not care."""
    kind = person.random.choice(("app", "viewer"))
    delay, life = person.random.uniform(0, IMPORTS), person.random.uniform(0.05, 3.0)

    def live_and_die() -> None:
        run = person.run(name)
        time.sleep(delay)
        if not run.config.exists():
            return
        if kind == "app":
            with Terminal([*COMMAND, "attach", name], env=person.environment) as terminal:
                terminal.read(life)
                os.kill(terminal.pid, signal.SIGKILL)
        else:
            viewer = person.start("attach", name, "--headless")
            time.sleep(life)
            viewer.kill()
            viewer.communicate()
        person.tally.kills[kind] += 1

    thread = threading.Thread(target=live_and_die)
    thread.start()
    return thread


def finish(person: Person, name: str) -> RunDirectory:
    """Trains to the end."""
    run = person.run(name)
    for _ in range(3):
        if run.has_adapter() and events(run)[-1]["type"] == "done":
            break
        person.train(name).communicate(timeout=2 * STUCK)
    person.tally.expect(person.listed(name)["state"] == "done", f"{name} did not come to its end")
    return run


def fingerprint(run: RunDirectory) -> tuple[dict[int, tuple[float, ...]], dict[int, float], str]:
    """The joined curve (loss, gradient norm, learning rate by step), the evaluations, and the adapter's sha256."""
    adapter = (run.adapter / "adapter_model.safetensors").read_bytes()
    evaluated = {event["step"]: event["eval_loss"] for event in events(run, "eval")}
    return losses(run), evaluated, hashlib.sha256(adapter).hexdigest()


def compare(person: Person, name: str, whole: RunDirectory) -> None:
    person.tally.runs += 1
    for what, here, there in zip(
        ("losses", "evaluations", "adapter"), fingerprint(person.run(name)), fingerprint(whole), strict=True
    ):
        if here != there:
            person.tally.problems.append(f"{name}: its {what} differ from the uninterrupted run's")
            return
    person.tally.identical += 1


def kill_a_chat(person: Person, name: str) -> None:
    """Kills the worker behind `codex-tui chat --prompt`: one clear sentence, and the next question is answered."""
    asked = person.start("chat", name, "--prompt", "Which weapon first?", "--max-new-tokens", "200")
    time.sleep(person.random.uniform(0.3, IMPORTS))
    with contextlib.suppress(psutil.Error):
        for worker in psutil.Process(asked.pid).children():
            kill(worker)
            person.tally.kills["chat worker"] += 1
    told, _ = asked.communicate(timeout=STUCK)
    person.tally.expect("Traceback" not in told, f"chat shows a traceback: {told[-600:]}")
    if asked.returncode:
        person.tally.expect("The worker ended by signal SIGKILL" in told, f"chat does not say what happened: {told}")
