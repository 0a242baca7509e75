"""The pinned list `codex_train.txt`, and what of it an interpreter has."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.text import shorten

LIST = Path(__file__).with_name("codex_train.txt")
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)

# Run by the trainer's interpreter, which knows nothing of us: standard library alone, and no import of torch
# (seconds); the CUDA version torch was built for stands in a small file of its own.
_PROBE = """
import importlib.metadata as m, json, pathlib, platform, re, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
cuda = None
try:
    text = pathlib.Path(str(m.distribution("torch").locate_file("torch/version.py"))).read_text()
    found = re.search(r"^cuda[^=\\n]*=\\s*'([^']+)'", text, re.M)
    cuda = found and found.group(1)
except Exception: pass
json.dump({"python": platform.python_version(), "cuda": cuda,
           "packages": {n: version(n) for n in json.load(sys.stdin)}}, sys.stdout)
"""


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    group: Literal["torch", "torch-needs", "cuda", "stack", "needs"]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@functools.cache
def pins() -> tuple[Pin, ...]:
    found, group = [], ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#\s*\[([a-z-]+)\]", line):
            group = heading.group(1)
        elif requirement := line.partition("#")[0].strip():
            name, _, version = requirement.partition("==")
            found.append(Pin(name, version, group))  # type: ignore[arg-type]
    return tuple(found)


def fingerprint() -> str:
    """Changes when a pin does, not when a comment does."""
    return hashlib.sha256("\n".join(sorted(map(str, pins()))).encode()).hexdigest()


@dataclass(frozen=True)
class Package:
    name: str
    pinned: str
    installed: str | None
    needed: bool  # False: only a package of the stack asks for it, and another version may ask for other ones

    @property
    def state(self) -> Literal["ok", "other", "missing"]:
        if self.installed is None:
            return "missing"
        # torch 2.13.0+cpu is torch 2.13.0 in another build.
        return "ok" if self.installed.partition("+")[0] == self.pinned else "other"


@dataclass(frozen=True)
class EnvironmentReport:
    python: Path
    python_version: str
    torch_cuda: str | None  # the CUDA version torch was built for, None: a CPU build or no torch
    packages: tuple[Package, ...]

    @property
    def missing(self) -> tuple[Package, ...]:
        """What training cannot do without."""
        return tuple(p for p in self.packages if p.needed and p.state == "missing")

    @property
    def stack(self) -> tuple[Package, ...]:
        return tuple(p for p in self.packages if p.needed)


def describe(python: Path) -> EnvironmentReport:
    """What `python` has of the list (a fifth of a second). EnvironmentMissing where it cannot be run."""
    listed = [pin for pin in pins() if pin.group != "cuda"]
    try:
        answer = subprocess.run(
            [str(python), "-c", _PROBE],
            input=json.dumps([pin.name for pin in listed]),
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",  # `-c` puts the working directory on sys.path
            env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")},
        )
    except FileNotFoundError:
        raise EnvironmentMissing(f"There is no Python at {python}", "Check the path.") from None
    except OSError as error:
        raise EnvironmentMissing(f"{python} cannot be run: {error.strerror}", "Check the path.") from None
    except subprocess.TimeoutExpired:
        raise EnvironmentMissing(f"{python} does not answer as Python 3 does, not in a minute") from None
    try:
        found = json.loads(answer.stdout)
        installed = found["packages"]
    except (ValueError, KeyError, TypeError):
        asked = [line for line in _PROBE.splitlines() if line]  # another program may quote it
        said = [line for line in answer.stderr.strip().splitlines() if not any(part in line for part in asked)]
        last = (said or ["it is another program" if answer.stderr else "it printed nothing"])[-1]
        raise EnvironmentMissing(
            f"{python} does not answer as Python 3 does: {shorten(last, 120)}", "Check the path."
        ) from None
    packages = (Package(pin.name, pin.version, installed[pin.name], pin.group in ("torch", "stack")) for pin in listed)
    return EnvironmentReport(python, found["python"], found["cuda"], tuple(packages))


def require(report: EnvironmentReport) -> None:
    """EnvironmentMissing that names what is lacking and the command that installs it."""
    if not report.missing:
        return
    lacking = {p.name: f"{p.name}=={p.pinned}" for p in report.packages if p.state == "missing"}
    pip = f"{report.python} -m pip install"
    commands = []
    if torch := lacking.pop("torch", ""):  # the one that needs its dependencies
        commands.append(f"{pip} {torch}")
    if lacking:
        commands.append(f"{pip} --no-deps {' '.join(lacking.values())}")
    raise EnvironmentMissing(
        f"{report.python} lacks {', '.join(p.name for p in report.missing)}",
        f"Name another, or none: `codex-tui setup` builds one of its own. To add to this one:\n{' && '.join(commands)}",
    )
