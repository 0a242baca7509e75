"""Installs the app on a remote: this very version, in an environment of its own."""

from __future__ import annotations

import platform
import shlex
import time
from collections import deque
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from codex_tui.base.errors import CodexError, EnvironmentMissing
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.link.failures import RemoteFailed
from codex_tui.engines.ssh.remote.machine import Machine, examine, require
from codex_tui.engines.ssh.remote.package import make_package
from codex_tui.engines.ssh.remote.remotes import Remote
from codex_tui.environment.uv import Activity, explain_failure, make_uv_environ, parse_pip_config

# Builds the environment of the app in $1, with the uv $2 or, without one, with the Python $3. `venv` is there when it
# is complete. The file uv.env has the settings of pip as variables of uv.
_BUILD = """
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
[ -x venv/bin/python ] || { rm -rf venv && mv $new venv; }
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
_PRINT_PIP_SETTINGS = 'python3 -m pip config list 2>/dev/null; env | grep -E "^(PIP|UV)_"; true'


class Installer:
    """`command` is the one that runs the app once it is installed."""

    def __init__(self, connection: Connection, remote: Remote, command: Sequence[str]) -> None:
        self._connection, self._remote, self._command = connection, remote, command
        self._apps = f"{remote.root}/app"
        self._folder = f"{self._apps}/{make_package().name}"

    def install(self, report: OnProgress) -> None:
        """Install the app. Raises Unreachable, and CodexError if the machine lacks something."""
        report(Progress(f"looking at {self._remote.name}"))
        machine = examine(self._connection, self._remote.root)
        require(machine, self._remote.name)
        self._connection.send(make_package().files, self._folder, report)
        uv = machine.uv or self._send_uv(machine, report)
        if not uv and not machine.python:
            raise CodexError(
                f"{self._remote.name} has neither uv nor a Python 3.11 to 3.13 with venv.",
                "Install one there: curl -LsSf https://astral.sh/uv/install.sh | sh",
            )
        self._write_uv_environ()
        self._build(uv, machine.python, report)
        program = f'#!/bin/sh\nexec {shlex.join(self._command)} "$@"\n'.encode()
        self._run_shell(_WRITE_PROGRAM, f"{self._remote.root}/bin/codex-tui", input=program)
        self.delete_old_versions()

    def delete_old_versions(self) -> None:
        """Delete versions of the app over there that are older than two weeks and that no process uses."""
        self._run_shell(_CLEAN, self._apps, make_package().name)

    def _build(self, uv: str, python: str, report: OnProgress) -> None:
        step = f"installing the app on {self._remote.name}"
        report(Progress(step))
        lines, activity, started = deque[str](maxlen=60), Activity({}), time.monotonic()
        script = f"{{ {_BUILD}\n}} 2>&1"
        with self._connection.stream(["sh", "-c", script, "sh", self._folder, uv, python]) as output:
            for line in output:
                lines.append(line)
                activity.read(line)
                seconds_left = activity.estimate_seconds_left(time.monotonic() - started)
                report(Progress(step, detail=str(activity), seconds_left=seconds_left))
            try:
                output.finish()
            except RemoteFailed:
                raise self._explain(lines) from None

    def _explain(self, lines: Sequence[str]) -> EnvironmentMissing:
        name = self._remote.name
        if any("python-build-standalone" in line for line in lines):  # where uv finds a Python
            return EnvironmentMissing(
                f"{name} has no Python 3.11 to 3.13, and can't download one.",
                f"Install one there (apt install python3), or let it reach github.com. It printed: {lines[-1]}",
            )
        error = explain_failure(lines)
        return EnvironmentMissing(f"{name}: {error.message}", error.hint)

    def _send_uv(self, machine: Machine, report: OnProgress) -> str:
        """Send this machine's own uv, and return its path; "" if it does not run over there."""
        from uv import find_uv_bin

        if machine.architecture != platform.machine():
            return ""
        folder = f"{self._apps}/uv-{version('uv')}"
        self._connection.send({"uv": Path(find_uv_bin())}, folder, report)  # once
        try:
            self._connection.run([f"{folder}/uv", "--version"])
        except RemoteFailed:
            return ""
        return f"{folder}/uv"

    def _write_uv_environ(self) -> None:
        """Let uv over there use the package registry that pip uses over there."""
        printed = self._run_shell(_PRINT_PIP_SETTINGS).decode(errors="replace")
        pairs = (line.partition("=") for line in printed.splitlines() if line.startswith(("PIP_", "UV_")))
        environ = {"UV_PYTHON_DOWNLOADS": "automatic", **{name: value for name, _, value in pairs}}
        variables = make_uv_environ(parse_pip_config(printed, environ), environ) | self._remote.uv_folders
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
        self._run_shell('umask 077; cat >"$1"', f"{self._folder}/uv.env", input="".join(lines).encode())

    def _run_shell(self, script: str, *arguments: str, input: bytes | None = None) -> bytes:
        return self._connection.run(["sh", "-c", script, "sh", *arguments], input)
