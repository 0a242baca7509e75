"""`python -m training ARGUMENTS` as a fork of a process that has imported the libraries already.

Otherwise it does what the new program would do. A keeper that is such a fork starts its trainers as forks as well.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from training import __main__ as program
from training.contract import telemetry
from training.job import environ

# The libraries read variables with these names when they are imported. A fork can't change their values any more.
READ_BY_IMPORTS = ("CUDA_VISIBLE", "HF_", "MKL_", "OMP_", "TORCH", "TRANSFORMERS_")
EXECV, PREPARE = os.execv, environ.prepare
imported: dict[str, str] = {}  # the variables when the libraries were imported
changed: dict[str, str] = {}  # those that the libraries then set


def import_libraries(modules: Sequence[str]) -> None:
    """Import `modules` with the variables that a run of the demo model has on a CPU."""
    telemetry.opt_out()
    os.environ.update(environ.QUIET | environ.SAME_MEMORY_EVERYWHERE | {"OMP_NUM_THREADS": "1"})
    imported.update(os.environ)
    for name in modules:
        importlib.import_module(name)
    changed.update({name: value for name, value in os.environ.items() if imported.get(name) != value})


def start(call: dict[str, Any]) -> int:
    """Start the fork. Returns its pid. When it has ended, its exit code is written to the file `call["ended"]`."""
    stdin, stdout, stderr, ended = (
        os.open(call["stdin"], os.O_RDONLY),
        *(os.open(call[name], os.O_WRONLY | os.O_APPEND) for name in ("stdout", "stderr", "ended")),
    )
    inherited = list_descriptors() - {stdin, stdout, stderr, ended}
    answer, pid_file = os.pipe()
    if not os.fork():  # this process waits for the one that trains
        child = os.fork()
        if not child:
            for number, descriptor in enumerate((stdin, stdout, stderr)):
                os.dup2(descriptor, number)
            for descriptor in (stdin, stdout, stderr, ended, answer, pid_file):
                os.close(descriptor)
            begin(call, inherited)
        os.write(pid_file, str(child).encode())
        os.close(pid_file)
        for descriptor in (0, 1, stdin, stdout, stderr):
            os.close(descriptor)
        status = os.waitpid(child, 0)[1]
        os.write(ended, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    for descriptor in (stdin, stdout, stderr, ended, pid_file):
        os.close(descriptor)
    with os.fdopen(answer) as file:
        return int(file.read())


def begin(call: dict[str, Any], inherited: set[int]) -> NoReturn:
    """Run the program that `call` asks for, in a session of its own."""
    os.setsid()
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environ"])
    resource.setrlimit(resource.RLIMIT_FSIZE, tuple(call["file_size_limits"]))

    def execv(path: str, command: Sequence[str]) -> NoReturn:
        if command[1:3] != ["-m", "training"]:
            EXECV(path, command)
        close_on_exec(inherited)
        run(command[3:])

    environ.prepare = prepare
    os.execv = execv  # type: ignore[assignment]
    run(call["arguments"])


def prepare(*arguments: Any, **options: Any) -> None:
    """Set the variables of a run as the new program does before its imports, and then as the libraries do. Raises
    AssertionError if the libraries would have been imported with other variables."""
    PREPARE(*arguments, **options)
    names = {name for name in imported.keys() | os.environ.keys() if name.startswith(READ_BY_IMPORTS)}
    values = {name: (imported.get(name), os.environ.get(name)) for name in names}
    differing = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    assert not differing, f"Start this run as a new program: the libraries were imported with other values, {differing}"
    os.environ.update(changed)
    if runtime := sys.modules.get("unsloth_zoo.cpu.runtime"):
        runtime.cpu_bf16_supported.cache_clear()  # it reads UNSLOTH_CPU_BF16, and the imports have called it


def run(arguments: Sequence[str]) -> NoReturn:
    """Run `python -m training` with `arguments`, and end this process."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):  # execve(2) resets the handlers, and ignored signals stay ignored
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.stdin = os.fdopen(0, closefd=False)  # the other one may have read some lines of the parent's
    sys.argv = [program.__file__ or "", *arguments]
    code = 1
    try:
        code = program.main(list(arguments))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  the fork must not return into the code of its parent
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def list_descriptors() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/fd").iterdir()}


def close_on_exec(inherited: set[int]) -> None:
    """Close the descriptors that a new program would not have."""
    for descriptor in list_descriptors() - inherited:
        try:
            if fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                os.close(descriptor)
        except OSError:  # the one that listed the folder
            pass
