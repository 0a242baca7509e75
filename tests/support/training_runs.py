"""Real runs: `python -m training RUN` as a process of its own, in the training environment, on the demo model."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from codex_tui.base import locations
from codex_tui.judge.books import load_profile_book
from codex_tui.profiles.resolve import load_profile
from codex_tui.workers.process import trainer_environment
from support.config_file import write_config
from support.program_server import FORKED_WORKERS, PLAIN, PRELOADED, UNSLOTH, start_server
from training.contract import cache
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

MINUTES = 60.0


@dataclass
class Trainer:
    """Makes run directories as the launcher does and trains them. The runs share `cache`, by default in `folder`.

    To save the import of Unsloth, a trainer or a chat worker is a fork of a process that has imported the libraries. If
    `is_new_program` is set, it is a new program, as for a person.
    """

    python: Path
    folder: Path
    cache: Path | None = None
    is_new_program: bool = False

    def run(self, name: str, profile: Profile, dataset: str | None = None) -> RunDirectory:
        run = RunDirectory(self.folder / name)
        run.create()
        write_config(
            run,
            {
                "version": 1,
                "name": name,
                "created": time.time(),
                "profile_name": "test",
                "profile": profile.model_dump(mode="json"),
                "dataset": dataset or profile.dataset.path,
                "python": str(self.python),
                "app_version": "0",
            },
        )
        if book := load_profile_book(profile, self.folder):
            run.book.write_bytes(book.content)
        run.log.touch(mode=0o600)
        return run

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of every process that is started."""
        folder = self.cache or self.folder / "cache"
        return trainer_environment() | {"CUDA_VISIBLE_DEVICES": "", cache.VARIABLE: str(folder)}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start `python -m training ARGUMENTS`."""
        modules = UNSLOTH if len(arguments) == 1 else FORKED_WORKERS.get(arguments[0]) if arguments else None
        if modules and not self.is_new_program:
            return start_server(self.python, modules).start(self.folder, self.environ, arguments, **options)
        return subprocess.Popen(
            [str(self.python), "-m", "training", *arguments],
            env=self.environ,
            cwd=self.folder,
            text=True,
            start_new_session=True,
            **options,
        )

    def train(self, run: RunDirectory) -> int:
        """Trains to the end; the exit code."""
        with run.log.open("a") as log:
            return self.start(str(run.path), stdout=log, stderr=log).wait(10 * MINUTES)

    def stop_after_a_step(self, run: RunDirectory, kind: str = "metrics") -> int:
        """Trains until one step more is logged, or another event of `kind`, and asks to stop; the exit code."""
        before = len(events(run, kind))
        with run.log.open("a") as log:
            process = self.start(str(run.path), stdout=log, stderr=log)
        while process.poll() is None and len(events(run, kind)) == before:
            time.sleep(0.02)
        run.request_stop("save")
        return process.wait(10 * MINUTES)

    def run_program(self, program: str, function: str, *arguments: str) -> Any:
        """Run a function of support/programs/ in the training environment, and return its result."""
        server = start_server(self.python, PRELOADED.get(program, PLAIN))
        return server.run(self.folder, self.environ, program, function, *arguments)


@dataclass
class Talk:
    """A worker at the other end of two pipes."""

    process: subprocess.Popen[str]

    def say(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        """The messages up to the first of one of `kinds`."""
        heard: list[dict[str, Any]] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            heard.append(json.loads(line))
            if heard[-1]["type"] in kinds:
                return heard
        raise AssertionError(f"the worker ended after {heard}")

    def answer(self, question: str, *, adapter: bool = True, **options: Any) -> str:
        messages = [{"role": "user", "content": question}]
        self.say(type="generate", id=1, messages=messages, adapter=adapter, **{"max_new_tokens": 64, **options})
        return "".join(m["text"] for m in self.until("end", "error") if m["type"] == "token")


def write_many_rows(path: Path) -> str:
    """Write so many rows that a helper process tokenises them. Returns the dataset's name."""
    rows = ({"instruction": f"Which gun in wave {n}?", "response": f"Number {n}."} for n in range(12_000))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def find_token_helpers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes below `process` that tokenise for a trainer."""
    helpers = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # a program that the libraries start ends at any moment
            if child.cmdline()[-2:-1] == ["tokens"]:
                helpers.append(child)
    return helpers


def events(run: RunDirectory, kind: str | None = None) -> list[dict[str, Any]]:
    """The whole lines of the run's events, or those of one kind; [] before there is any."""
    text = run.events.read_text() if run.events.exists() else ""
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [event for event in found if kind is None or event["type"] == kind]


def losses(run: RunDirectory) -> dict[int, tuple[float, ...]]:
    """Loss, gradient norm and learning rate by step; of a step taken twice, the later."""
    return {e["step"]: (e["loss"], e["grad_norm"], e["learning_rate"]) for e in events(run, "metrics")}


def demo_profile(**tables: dict[str, Any]) -> Profile:
    """The shipped demo profile, with some of its values replaced."""
    values = load_profile(locations.shipped_profiles() / "demo.toml").model_dump()
    for table, fields in tables.items():
        values[table] |= fields
    return Profile.model_validate(values)
