"""The app on a remote: this very version of it, installed on demand, and its commands run over ssh."""

from __future__ import annotations

import json
import platform
import re
import select
import shlex
import time
from collections import deque
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from codex_tui.base.errors import BAD_INPUT, NO_ENVIRONMENT, BadInput, CodexError, EnvironmentMissing
from codex_tui.base.progress import JSON_VARIABLE, OnProgress, Progress, ignore_progress
from codex_tui.base.text import clean
from codex_tui.engines.ssh.connection import Connection, RemoteFailed, Stream
from codex_tui.engines.ssh.machine import Machine, examine, require
from codex_tui.engines.ssh.package import make_package
from codex_tui.engines.ssh.remotes import Remote
from codex_tui.environment.uv import Activity, explain_failure, make_uv_environ, parse_pip_config

# What `codex-tui` prints about a mistake, and what argparse prints about a wrong option.
_ERROR = re.compile(r"^codex-tui(?: [a-z]+)*: (?:error: )?(.+)\n((?:.|\n)*)\Z", re.MULTILINE)
LOOK_SECONDS = 0.3
# Builds the environment of the app in $1, with the uv $2 or, without one, with the Python $3. `venv` is there when it
# is complete. The file uv.env has the settings of pip as variables of uv.
_INSTALL = """
cd "$1" || exit 1
find . -maxdepth 1 -name 'venv.*' -mmin +60 -exec rm -rf {} +
if [ -f uv.env ]; then set -a; . ./uv.env; set +a; rm -f uv.env; fi
new=venv.$$
trap 'rm -rf $new' EXIT
if [ -n "$2" ]; then
  "$2" venv --quiet --no-project --python '>=3.11,<3.14' $new &&
  "$2" pip install --python $new/bin/python -c constraints.txt -r requirements.txt || exit 1
else
  "$3" -m venv $new && $new/bin/python -m pip install -c constraints.txt -r requirements.txt || exit 1
fi
for place in $new/lib/python3*/site-packages; do echo "$1" >$place/codex_tui.pth || exit 1; done
[ -e venv ] || mv $new venv
"""
# Deletes other versions than $2 in the folder $1, two weeks after they were installed. A version that a process still
# uses stays; the link in the PYTHONPATH of a trainer leads to the version of its run.
_CLEAN = """
cd "$1" || exit 0
find "$PWD" -mindepth 1 -maxdepth 1 -mtime +14 ! -name "$2" ! -name 'uv-*' | while IFS= read -r old; do
  grep -qsF "$old/" /proc/[0-9]*/cmdline && continue
  for link in ../cache/trainer-path/*/training; do
    [ "$(readlink "$link")" = "$old/training" ] || continue
    grep -qsF "/trainer-path/$(basename "$(dirname "$link")")" /proc/[0-9]*/environ && continue 2
  done
  rm -rf "$old"
done
"""
# Writes the program that a person over there types: $1, with the content on stdin.
_WRITE_PROGRAM = 'mkdir -p "$(dirname "$1")" && cat >"$1.$$" && chmod 700 "$1.$$" && mv "$1.$$" "$1"'

_PIP_SETTINGS = 'python3 -m pip config list 2>/dev/null; env | grep -E "^(PIP|UV)_"; true'


class RemoteApp:
    """The app of `remote`. Its folder is named after the version and the content, so that a run over there never sees
    another version than the one that it was started with."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.connection = Connection(remote.host, remote.name)

    @property
    def folder(self) -> str:
        return f"{self.remote.root}/app/{make_package().name}"

    @property
    def python(self) -> str:
        """The Python that the app runs on, over there."""
        return f"{self.folder}/venv/bin/python"

    def make_command(self, *arguments: str) -> list[str]:
        """Return the command over there that runs `codex-tui ARGUMENTS`. Neither the folder where it runs nor a
        PYTHONPATH of the person can put other modules in the place of ours."""
        variables = [f"CODEX_TUI_HOME={self.remote.root}", *self._list_uv_folders()]
        return ["env", *variables, self.python, "-E", "-P", "-m", "codex_tui", *arguments]

    def call(self, *arguments: str, report: OnProgress = ignore_progress, reports_failure: bool = False) -> Any:
        """Run `codex-tui ARGUMENTS` over there and return the JSON that it prints. `report` gets its progress.
        `reports_failure`: its JSON counts whatever its exit code is.

        Raises the error that it prints, Unreachable, and CodexError if the app is not installed over there.
        """
        command = ["env", f"{JSON_VARIABLE}=json", *self.make_command(*arguments)]
        with self.connection.stream(command) as stream:
            output = _read_output(stream, report)
            try:
                stream.finish()
            except RemoteFailed as failed:
                if not (reports_failure and output):
                    raise self._explain(failed, output, arguments[0]) from None
        return self._parse(output, arguments[0])

    def is_installed(self) -> bool:
        """Whether the app of this very version is over there."""
        return self._is_there(self.python)

    def ensure(self, report: OnProgress = ignore_progress) -> None:
        """Install the app of this version over there, unless it is there. Raises Unreachable, CodexError."""
        if not self.is_installed():
            report(Progress(f"looking at {self.remote.name}"))
            self._install(examine(self.connection, self.remote.root), report)

    def delete_old_versions(self) -> None:
        """Delete versions of the app over there that are older than two weeks and that no process uses."""
        self.connection.run(["sh", "-c", _CLEAN, "sh", f"{self.remote.root}/app", make_package().name])

    def _install(self, machine: Machine, report: OnProgress) -> None:
        require(machine, self.remote.name)
        self.connection.send(make_package().files, self.folder, report)
        uv = machine.uv or self._send_uv(machine, report)
        if not uv and not machine.python:
            raise CodexError(
                f"{self.remote.name} has neither uv nor a Python 3.11 to 3.13 with venv.",
                "Install one there: curl -LsSf https://astral.sh/uv/install.sh | sh",
            )
        self._write_uv_environ()
        step = f"installing the app on {self.remote.name}"
        report(Progress(step))
        lines, activity, started = deque[str](maxlen=60), Activity({}), time.monotonic()

        def read_line(line: str) -> None:
            lines.append(line)
            activity.read(line)
            seconds_left = activity.estimate_seconds_left(time.monotonic() - started)
            report(Progress(step, detail=str(activity), seconds_left=seconds_left))

        with self.connection.stream(
            ["sh", "-c", f"{{ {_INSTALL}\n}} 2>&1", "sh", self.folder, uv, machine.python]
        ) as output:
            _read_lines(output, read_line)
            try:
                output.finish()
            except RemoteFailed:
                raise self._explain_installer(lines) from None
        program = f'#!/bin/sh\nexec {shlex.join(self.make_command())} "$@"\n'.encode()
        self.connection.run(["sh", "-c", _WRITE_PROGRAM, "sh", f"{self.remote.root}/bin/codex-tui"], program)
        self.delete_old_versions()

    def _explain_installer(self, lines: Sequence[str]) -> EnvironmentMissing:
        name = self.remote.name
        if any("python-build-standalone" in line for line in lines):  # where uv finds a Python
            return EnvironmentMissing(
                f"{name} has no Python 3.11 to 3.13, and can't download one.",
                f"Install one there (apt install python3), or let it reach github.com. It printed: {lines[-1]}",
            )
        error = explain_failure(lines)
        return EnvironmentMissing(f"{name}: {error.message}", error.hint)

    def _send_uv(self, machine: Machine, report: OnProgress) -> str:
        """Send this machine's own uv, if it runs over there, and return its path; else return ""."""
        from uv import find_uv_bin  # only a remote without uv needs it

        if machine.architecture != platform.machine():
            return ""
        folder = f"{self.remote.root}/app/uv-{version('uv')}"
        if not self._is_there(f"{folder}/uv"):
            self.connection.send({"uv": Path(find_uv_bin())}, folder, report)
        try:
            self.connection.run([f"{folder}/uv", "--version"])
        except RemoteFailed:
            return ""
        return f"{folder}/uv"

    def _write_uv_environ(self) -> None:
        """Let uv over there use the package registry that pip uses over there."""
        printed = self.connection.run(["sh", "-c", _PIP_SETTINGS]).decode(errors="replace")
        pairs = [line.split("=", 1) for line in printed.splitlines() if line.startswith(("PIP_", "UV_"))]
        environ = {"UV_PYTHON_DOWNLOADS": "automatic", **{pair[0]: pair[1] for pair in pairs if len(pair) == 2}}
        variables = make_uv_environ(parse_pip_config(printed, environ), environ)
        lines = [
            *(f"{name}={shlex.quote(value)}" for name, value in variables.items()),
            *self._list_uv_folders(quoted=True),
        ]
        write = 'umask 077; cat >"$1"'
        self.connection.run(["sh", "-c", write, "sh", f"{self.folder}/uv.env"], "\n".join([*lines, ""]).encode())

    def _list_uv_folders(self, *, quoted: bool = False) -> list[str]:
        """Keep what uv downloads in the remote's folder: a home folder may be small."""
        folders = {
            "UV_CACHE_DIR": f"{self.remote.root}/cache/uv",
            "UV_PYTHON_INSTALL_DIR": f"{self.remote.root}/python",
        }
        return [f"{name}={shlex.quote(folder) if quoted else folder}" for name, folder in folders.items()]

    def _is_there(self, path: str) -> bool:
        return self.connection.run(["sh", "-c", '[ -e "$1" ] && echo yes; true', "sh", path]) == b"yes\n"

    def _explain(self, failed: RemoteFailed, output: bytes, command: str) -> CodexError:
        """Turn the error of a command over there into one of this machine."""
        message, hint = "", ""
        if output.lstrip().startswith(b"{") and isinstance(answer := self._parse(output, command), dict):
            message, hint = str(answer.get("message", "")), str(answer.get("hint", ""))
        elif printed := _ERROR.search(failed.stderr):
            message, hint = printed[1], printed[2].strip()
        elif failed.code in (126, 127):
            return CodexError(
                f"{self.remote.name} has no app of this version.", f"codex-tui remote setup {self.remote.name}"
            )
        if not message:
            return failed
        kind = {BAD_INPUT: BadInput, NO_ENVIRONMENT: EnvironmentMissing}.get(failed.code, CodexError)
        return kind(f"{self.remote.name}: {clean(message)}", clean(hint, newlines=True))

    def _parse(self, output: bytes, command: str) -> Any:
        try:
            return json.loads(output)
        except (ValueError, RecursionError):
            raise CodexError(
                f"`codex-tui {command}` on {self.remote.name} printed no JSON.", "Run it there by hand."
            ) from None


def _read_output(stream: Stream, report: OnProgress) -> bytes:
    """Return what the command prints, and report the progress on its stderr meanwhile."""
    output, offset = bytearray(), 0
    while True:
        is_ready = select.select([stream], [], [], LOOK_SECONDS)[0]
        errors = stream.read_errors(offset)
        offset += errors.rfind(b"\n") + 1
        for line in errors[: errors.rfind(b"\n") + 1].splitlines():
            if line.startswith(b'{"step"'):
                try:
                    report(msgspec.json.decode(line, type=Progress))
                except ValueError:
                    continue
        if is_ready:
            if not (data := stream.read()):
                return bytes(output)
            output += data


def _read_lines(stream: Stream, on_line: Callable[[str], None]) -> None:
    rest = b""
    while data := stream.read():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace").rstrip())
