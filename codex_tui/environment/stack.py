"""Reads the pinned list `codex_train.txt` and checks which of its packages a Python has."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.text import shorten

PINS_FILE = Path(__file__).with_name("codex_train.txt")
MIN_PYTHON, MAX_PYTHON = (3, 11), (3, 13)

# The trainer's Python runs this program, so it uses only the standard library. Importing torch would take seconds, so
# the CUDA version of its build is read from torch/version.py.
_PROBE = """
import importlib.metadata as m, json, pathlib, platform, re, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
cuda = None
try:
    text = pathlib.Path(str(m.distribution("torch").locate_file("torch/version.py"))).read_text()
    match = re.search(r"^cuda[^=\\n]*=\\s*'([^']+)'", text, re.M)
    cuda = match and match.group(1)
except Exception: pass
json.dump({"python": platform.python_version(), "cuda": cuda,
           "packages": {n: version(n) for n in json.load(sys.stdin)}}, sys.stdout)
"""


@dataclass(frozen=True)
class Pin:
    """One package of the list with its version."""

    name: str
    version: str
    group: Literal["torch", "torch-needs", "cuda", "stack", "needs"]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@functools.cache
def load_pins() -> tuple[Pin, ...]:
    """Read the pinned list. A comment such as "# [stack]" starts a group."""
    pins, group = [], ""
    for line in PINS_FILE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#\s*\[([a-z-]+)\]", line):
            group = heading.group(1)
        elif requirement := line.partition("#")[0].strip():
            name, _, version = requirement.partition("==")
            pins.append(Pin(name, version, group))  # type: ignore[arg-type]
    return tuple(pins)


def hash_pins() -> str:
    """Return a hash that changes when a pin changes, but not when a comment does."""
    return hashlib.sha256("\n".join(sorted(map(str, load_pins()))).encode()).hexdigest()


@dataclass(frozen=True)
class Package:
    """A package of the list and the version that a Python has installed."""

    name: str
    pinned: str
    installed: str | None
    needed: bool  # False: only another package requires it, and other versions may not

    @property
    def state(self) -> Literal["ok", "other", "missing"]:
        if self.installed is None:
            return "missing"
        # torch 2.13.0+cpu is torch 2.13.0 in another build.
        return "ok" if self.installed.partition("+")[0] == self.pinned else "other"


@dataclass(frozen=True)
class EnvironmentReport:
    """The packages of the list that one Python has."""

    python: Path
    python_version: str
    torch_cuda: str | None  # the CUDA version of the torch build; None: a CPU build or no torch
    packages: tuple[Package, ...]

    @property
    def version_problem(self) -> str:
        """Why this version of Python can't train, or "". An older Python ignores PYTHONSAFEPATH, so it would import
        modules from the run directory, which may be copied from anywhere."""
        version = tuple(map(int, re.findall(r"\d+", self.python_version)[:2]))
        oldest = ".".join(map(str, MIN_PYTHON))
        return "" if version >= MIN_PYTHON else f"Python {self.python_version}; the trainer needs {oldest} or newer"

    @property
    def missing(self) -> tuple[Package, ...]:
        """The packages that training needs and that are not installed."""
        return tuple(p for p in self.packages if p.needed and p.state == "missing")

    @property
    def stack(self) -> tuple[Package, ...]:
        """The packages that training itself needs, installed or not."""
        return tuple(p for p in self.packages if p.needed)


class Versions(NamedTuple):
    """What the program _PROBE answers. A package that is not installed has the version None."""

    python: str
    cuda: str | None
    packages: dict[str, str | None]


def describe(python: Path) -> EnvironmentReport:
    """Find out which packages of the list `python` has. Takes 0.2 s. Raises EnvironmentMissing if it is no Python 3."""
    listed = [pin for pin in load_pins() if pin.group != "cuda"]
    versions = read_versions(python, [pin.name for pin in listed])
    packages = tuple(
        Package(pin.name, pin.version, versions.packages[pin.name], pin.group in ("torch", "stack")) for pin in listed
    )
    return EnvironmentReport(python, versions.python, versions.cuda, packages)


def read_versions(python: Path, names: Sequence[str]) -> Versions:
    """Ask `python` for the versions of the packages `names`. Takes 0.2 s. Raises EnvironmentMissing if it is no Python
    3."""
    try:
        done = subprocess.run(
            [str(python), "-c", _PROBE],
            input=json.dumps(list(names)),
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
        raise EnvironmentMissing(f"{python} did not answer as Python 3 within a minute", "Check the path.") from None
    try:
        answer = json.loads(done.stdout)
        return Versions(answer["python"], answer["cuda"], {name: answer["packages"][name] for name in names})
    except (ValueError, KeyError, TypeError):
        program = [line for line in _PROBE.splitlines() if line]  # another program may print parts of it
        lines = [line for line in done.stderr.strip().splitlines() if not any(part in line for part in program)]
        last = (lines or ["it is another program" if done.stderr else "it printed nothing"])[-1]
        raise EnvironmentMissing(
            f"{python} did not answer as Python 3: {shorten(last, 120)}", "Check the path."
        ) from None


def is_complete(root: Path) -> bool:
    """Return whether the virtual environment `root` has the packages of the list, each with all its modules. An
    environment whose deletion was interrupted lacks some."""
    installed = {_normalize(info.name): info for info in root.glob("lib/python3*/site-packages/*.dist-info")}
    if not (root / "pyvenv.cfg").is_file():
        return False
    for pin in load_pins():
        # torch 2.13.0+cpu is torch 2.13.0 in another build.
        info = installed.get(_normalize(f"{pin.name}-{pin.version}"))
        if info is None and pin.group == "cuda":
            continue  # a CPU build
        if info is None or not _has_all_modules(info):
            return False
    return True


def _normalize(name: str) -> str:
    """Return a comparable name for `NAME-VERSION`, `NAME-VERSION+BUILD.dist-info` and the like."""
    return re.sub(r"[-_.]+", "-", name.removesuffix(".dist-info").partition("+")[0]).lower()


def _has_all_modules(info: Path) -> bool:
    try:
        record = (info / "RECORD").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    names = re.findall(r"^([^.,\n][^,\n]*\.(?:py|so)),", record, re.MULTILINE)
    return all(os.path.exists(f"{info.parent}/{name}") for name in names)  # noqa: PTH110  half the time


def require(report: EnvironmentReport) -> None:
    """Raise EnvironmentMissing if the Python is too old, or if a needed package is missing. Then the hint has the
    command that installs the packages."""
    if problem := report.version_problem:
        raise EnvironmentMissing(
            f"{report.python} is {problem}", "Use another Python, or let `codex-tui setup` build one."
        )
    if not report.missing:
        return
    lacking = {p.name: f"{p.name}=={p.pinned}" for p in report.packages if p.state == "missing"}
    pip = f"{report.python} -m pip install"
    commands = []
    if torch := lacking.pop("torch", ""):  # only torch is installed with its dependencies
        commands.append(f"{pip} {torch}")
    if lacking:
        commands.append(f"{pip} --no-deps {' '.join(lacking.values())}")
    raise EnvironmentMissing(
        f"{report.python} lacks {', '.join(p.name for p in report.missing)}",
        f"Use another Python, or let `codex-tui setup` build one. To install them here:\n{' && '.join(commands)}",
    )
