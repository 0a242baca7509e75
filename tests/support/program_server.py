"""Runs the programs of support/programs/ in the training environment. Its libraries are imported once for all."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from codex_tui.workers.process import trainer_environment

TESTS = Path(__file__).parents[1]
PLAIN = ("training.finetune.probe", "training.finetune.guards", "training.job.tokens")  # torch and transformers
UNSLOTH = ("training.finetune.sft",)
# The modules that the server of a program has imported. Unsloth changes transformers, so other programs run without it.
PRELOADED = {
    "judging": (),
    **dict.fromkeys(("batches", "packing", "questions", "reporter", "time_limits", "trackers"), UNSLOTH),
}


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
            assert self._process.stdin is not None and self._process.stdout is not None
            print(json.dumps(call), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            assert answer == "0\n", errors.read() or self._read_errors()
            return json.loads(output.read().splitlines()[-1])

    def stop(self) -> None:
        self._process.communicate()
        self._errors.close()

    def _read_errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


def make_environ(variables: dict[str, str]) -> dict[str, str]:
    """The environment variables of a process that can import `training` and `support` and doesn't ask the Hub."""
    environ = trainer_environment() | variables
    return environ | {"PYTHONPATH": f"{environ['PYTHONPATH']}{os.pathsep}{TESTS}", "HF_HUB_OFFLINE": "1"}


@functools.cache
def start_server(python: Path, modules: tuple[str, ...]) -> ProgramServer:
    server = ProgramServer(python, modules)
    atexit.register(server.stop)
    return server
