"""Examines the other machine: its system, its Python, and the free room in the remote's folder."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from codex_tui.base.errors import CodexError
from codex_tui.engines.ssh.link.connection import Connection

ARCHITECTURES = ("x86_64", "aarch64")  # those that torch and uv are built for
MIN_GLIBC = (2, 28)
MIB_FOR_THE_APP = 500
TIMEOUT_SECONDS = 60.0  # nvidia-smi may take half a minute on a machine with many cards
# Prints a line `name=value` for each fact. $1 is the remote's folder, which is made; ~ at its beginning is the home.
_PROBE = r"""
case $1 in "~") root=$HOME;; "~/"*) root=$HOME/${1#"~/"};; /*) root=$1;; *) root=$HOME/$1;; esac
echo "root=$root"
echo "system=$(uname -s)"
echo "machine=$(uname -m)"
echo "libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1)"
echo "gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)"
for tool in tar gzip mktemp; do command -v $tool >/dev/null || echo "missing=$tool"; done
for uv in uv "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
  "$uv" venv --help 2>/dev/null | grep -q -e --no-project && { echo "uv=$(command -v "$uv")"; break; }
done
for python in python3.13 python3.12 python3.11 python3; do
  "$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null &&
    { echo "python=$(command -v "$python")"; break; }
done
problem=$(umask 077; { mkdir -p "$root" && touch "$root/.writable"; } 2>&1) || echo "problem=$problem" | head -n 1
rm -f "$root/.writable"
set -- $(df -Pk "$root" 2>/dev/null | tail -n 1); echo "free=$4"
"""


class Machine(NamedTuple):
    """The facts. `python` is a Python 3.11 to 3.13 that can make environments, and `uv` a uv that is new enough; "" if
    there is none. `problem` says why the folder `root` can't be written."""

    root: str
    system: str
    architecture: str
    libc: str
    gpu: str
    uv: str
    python: str
    missing: tuple[str, ...]
    problem: str
    free_mib: float | None  # None: df does not say

    def find_problem(self) -> tuple[str, str]:
        """Why nothing can train there, and what to do; two empty texts if nothing is wrong."""
        if self.system != "Linux":
            return f"it runs {self.system or 'an unknown system'}; training needs Linux", "On Windows, use WSL2."
        if self.architecture not in ARCHITECTURES:
            known = " and ".join(ARCHITECTURES)
            return f"it is a {self.architecture} machine; torch is built for {known}", "Use another machine."
        version = tuple(map(int, re.findall(r"\d+", self.libc)[:2]))
        if "musl" in self.libc or ("glibc" in self.libc and version < MIN_GLIBC):
            return f"its C library is {self.libc}; torch needs glibc 2.28 or newer", "Use a newer Debian or Ubuntu."
        if self.missing:
            return f"it has no {self.missing[0]}", f"Install {', '.join(self.missing)} there."
        if self.problem:
            return f"{self.root} can't be written: {self.problem}", "Name another folder: --root FOLDER"
        if self.free_mib is not None and self.free_mib < MIB_FOR_THE_APP:
            return (
                f"{self.root} has {self.free_mib:.0f} MiB free; the app needs {MIB_FOR_THE_APP}",
                "Free some space there, or name a folder on another disk: --root FOLDER",
            )
        return "", ""


def examine(connection: Connection, root: str) -> Machine:
    """Ask the machine for its facts, and make the folder `root`. Raises Unreachable."""
    printed = connection.run(["sh", "-c", _PROBE, "sh", root], timeout=TIMEOUT_SECONDS).decode(errors="replace")
    pairs = [line.partition("=")[::2] for line in printed.splitlines()]
    facts = dict(pairs)
    free = facts.get("free", "")
    return Machine(
        posixpath.normpath(facts.get("root", root)),
        facts.get("system", ""),
        facts.get("machine", "").replace("amd64", "x86_64").replace("arm64", "aarch64"),
        facts.get("libc", ""),
        facts.get("gpu", ""),
        facts.get("uv", ""),
        facts.get("python", ""),
        tuple(value for name, value in pairs if name == "missing"),
        facts.get("problem", "").rpartition(": ")[2],
        int(free) / 1024 if free.isdigit() else None,
    )


def require(machine: Machine, name: str) -> None:
    """Raise CodexError if nothing can train on `machine`."""
    problem, hint = machine.find_problem()
    if problem:
        raise CodexError(f"{name} can't be used: {problem}.", hint)
