"""Runs the programs of support/programs/ in the training environment. Its libraries are imported once for all."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from codex_tui.workers.process import trainer_environment
from support.forked_process import ForkedProcess

TESTS = Path(__file__).parents[1]
PLAIN = ("training.finetune.probe", "training.finetune.guards", "training.job.tokens")  # torch and transformers
UNSLOTH = ("training.finetune.sft",)
FORKED_WORKERS = {"chat": PLAIN}  # the other workers import little, or replace modules before they import others
# The modules that the server of a program has imported. Unsloth changes transformers, so other programs run without it.
PRELOADED = {
    "judging": (),
    **dict.fromkeys(
        ("batches", "packing", "questions", "reporter", "time_limits", "token_helper", "trackers"), UNSLOTH
    ),
}


File = IO[Any] | int | None
STREAMS = ("stdin", "stdout", "stderr")


class ProgramServer:
    """A process that imports `modules` and then forks a process for each call. It ends when its stdin closes."""

    def __init__(self, python: Path, modules: tuple[str, ...]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  it is open as long as the process
        self._process = subprocess.Popen(
            [str(python), "-m", "support.programs", *modules],
            env=make_environ({"CUDA_VISIBLE_DEVICES": ""}),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def run(self, folder: Path, environ: dict[str, str], program: str, function: str, *arguments: str) -> Any:
        """Run a function of support/programs/ in `folder`, and return its result."""
        with tempfile.NamedTemporaryFile("r") as output, tempfile.NamedTemporaryFile("r") as errors:
            call = {
                "folder": str(folder),
                "environ": make_environ(environ),
                "program": program,
                "function": function,
                "arguments": arguments,
                "output": output.name,
                "errors": errors.name,
            }
            answer = self._call(call)
            assert answer == "0\n", errors.read() or self._read_errors()
            return json.loads(output.read().splitlines()[-1])

    def start(
        self, folder: Path, environ: dict[str, str], arguments: Sequence[str], **options: File
    ) -> subprocess.Popen[str]:
        """Start `python -m training ARGUMENTS` in `folder` as a fork. `options` are stdin, stdout and stderr, as for
        `Popen`."""
        with contextlib.ExitStack() as theirs:
            numbers, pipes = {}, dict.fromkeys(STREAMS)
            for number, name in enumerate(STREAMS):
                numbers[name], pipes[name] = _open_stream(options.get(name), number, theirs)
            ended, write_end = os.pipe()
            theirs.callback(os.close, write_end)
            call = {
                "folder": str(folder),
                "environ": environ,
                "arguments": arguments,
                "file_size_limits": resource.getrlimit(resource.RLIMIT_FSIZE),
                **{
                    name: f"/proc/{os.getpid()}/fd/{number}" for name, number in {**numbers, "ended": write_end}.items()
                },
            }
            answer = self._call(call)
            assert answer, self._read_errors()
        return ForkedProcess([*arguments], int(answer), ended, pipes)

    def stop(self) -> None:
        self._process.communicate()
        self._errors.close()

    def _call(self, call: dict[str, Any]) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(call), file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def _read_errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


def _open_stream(file: File, number: int, theirs: contextlib.ExitStack) -> tuple[int, io.TextIOWrapper | None]:
    """The descriptor of a stream of the process, and this end of it if it is a pipe. `theirs` closes the other end."""
    if file is None:
        return number, None
    if isinstance(file, int) and file == subprocess.PIPE:
        read_end, write_end = os.pipe()
        mine, other = (write_end, read_end) if number == 0 else (read_end, write_end)
        theirs.callback(os.close, other)
        return other, os.fdopen(mine, "w" if number == 0 else "r")
    if isinstance(file, int) and file == subprocess.DEVNULL:
        return theirs.enter_context(Path(os.devnull).open("r+")).fileno(), None
    return file if isinstance(file, int) else file.fileno(), None


def make_environ(variables: dict[str, str]) -> dict[str, str]:
    """The environment variables of a process that can import `training` and `support` and doesn't ask the Hub."""
    environ = trainer_environment() | variables
    return environ | {"PYTHONPATH": f"{environ['PYTHONPATH']}{os.pathsep}{TESTS}", "HF_HUB_OFFLINE": "1"}


@functools.cache
def start_server(python: Path, modules: tuple[str, ...]) -> ProgramServer:
    server = ProgramServer(python, modules)
    atexit.register(server.stop)
    return server
