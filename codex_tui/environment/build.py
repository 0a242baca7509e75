"""The interpreter that trains: one the person named, or the managed environment `codex-train`, which is built here.

The environment is built beside its place and renamed into it when whole; a stamp inside says which list and which
build of torch it is. So a set-up that was killed is done again (uv keeps what it downloaded), and knowing that
nothing is to do costs reading one file.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil

from codex_tui.base import locations, settings
from codex_tui.base.errors import BadInput, EnvironmentMissing, of_system
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.environment import stack
from codex_tui.environment.uv import Activity, Uv
from codex_tui.machine import gpu
from training.contract.files import naming

Build = Literal["auto", "cpu", "cuda"]
STAMP = "codex-train.json"
GIB_NEEDED = {"cpu": 2, "cuda": 9}


def find_python(explicit: Path | None = None) -> Path:
    """`explicit`, else the one in the settings, else the managed one. EnvironmentMissing says what is missing."""
    if named := named_python(explicit):
        return _existing(named)
    if python := managed_python():
        return python
    raise EnvironmentMissing(
        "The training environment is not there yet, or is of another version", "Build it: codex-tui setup"
    )


def named_python(explicit: Path | None = None) -> Path | None:
    """The interpreter that an option or the settings name, unchecked; None: the managed one is meant."""
    if named := explicit or settings.load().trainer_python:
        python = locations.expanded(named).absolute()  # not resolved: a venv is known by the path it is called by
        return python / "bin" / "python" if python.is_dir() else python  # the folder of an environment will do
    return None


def ensure(report: OnProgress, python: Path | None = None, *, build: Build = "auto") -> Path:
    """The trainer's interpreter, the managed environment being built first where it is missing, of another list
    or of another build than asked for. EnvironmentMissing where that fails."""
    if named := named_python(python):
        return _existing(named)
    if ready := managed_python(build):
        return ready
    root = locations.managed_environment()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _lock(root.with_name("codex-train.lock"), report) as lock:
            return managed_python(build) or _build(root, build, report, lock)  # another process may just have
    except OSError as error:
        raise EnvironmentMissing(
            f"The environment cannot be built at {root}: {error.strerror or error}",
            "CODEX_TUI_HOME names another place.",
        ) from None


def managed_python(build: Build = "auto") -> Path | None:
    """The managed interpreter where it is whole and right; reads one file and starts nothing."""
    root = locations.managed_environment()
    python = root / "bin" / "python"
    stamp = read_stamp()
    if stamp.get("list") != stack.fingerprint() or not python.exists():  # its base may have been removed
        return None
    if build == "auto":
        # A GPU that is away for a while is no reason to rebuild; one that has come is.
        right = stamp.get("forced") or stamp.get("build") == "cuda" or not gpu.nvidia_present()
    else:
        right = stamp.get("build") == build
    return python if right else None


def read_stamp() -> dict[str, object]:
    """{"list": hash, "build": "cpu" | "cuda", "forced": bool, "seconds": of the set-up}, {} where there is none."""
    with suppress(OSError, ValueError, RecursionError):
        stamp = json.loads((locations.managed_environment() / STAMP).read_bytes())
        if isinstance(stamp, dict):
            return stamp
    return {}


def forget() -> None:
    """The managed environment counts as missing from now on."""
    (locations.managed_environment() / STAMP).unlink(missing_ok=True)


def trainer_path() -> Path:
    """A folder that holds our `training` package and nothing else: as PYTHONPATH it lets `PY -m training` find the
    trainer without the app's own site-packages shadowing the trainer's. Raises CodexError where none can be made."""
    package = Path(__file__).resolve().parents[2] / "training"
    # One folder for each copy of the app, so that two of them never change it under a running trainer.
    folder = locations.cache_home() / "trainer-path" / hashlib.sha256(os.fsencode(package)).hexdigest()[:12]
    link = folder / "training"
    if not link.is_symlink() or link.readlink() != package:
        try:
            with naming(link):
                folder.mkdir(parents=True, exist_ok=True)
                fresh = folder / f".training-{os.getpid()}"
                fresh.symlink_to(package, target_is_directory=True)
                fresh.replace(link)
        except OSError as error:
            raise of_system(error) from None
    return folder


def _existing(python: Path) -> Path:
    _require(python)
    return python


@functools.cache
def _require(python: Path) -> None:
    stack.require(stack.describe(python))


@contextmanager
def _lock(path: Path, report: OnProgress) -> Iterator[int]:
    """One set-up at a time; the kernel frees the lock of one that died, once its uv has ended too."""
    with path.open("w") as file:
        waited = 0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                report(Progress("waiting", detail=f"for another set-up, {waited // 2} s so far"))
                time.sleep(0.5)
                waited += 1
        yield file.fileno()


def _build(root: Path, build: Build, report: OnProgress, lock: int) -> Path:
    wanted = build if build != "auto" else "cuda" if gpu.nvidia_present() else "cpu"
    fresh = root.with_name("codex-train.new")
    shutil.rmtree(fresh, ignore_errors=True)  # of a set-up that was killed
    _check_room(root, wanted)
    _check_unused(root)
    try:
        return _build_in(fresh, root, wanted, build != "auto", report, lock)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # half an environment is of no use, and gigabytes


def _build_in(fresh: Path, root: Path, wanted: str, forced: bool, report: OnProgress, lock: int) -> Path:
    started = time.monotonic()
    pins = [pin for pin in stack.pins() if pin.group != "cuda" or wanted == "cuda"]

    def packages(step: str, done: int, detail: str, seconds_left: float | None = None) -> Progress:
        return Progress(step, done, len(pins), "packages", detail, seconds_left)

    def report_step(step: str) -> Callable[[Activity, float], None]:
        def on_progress(activity: Activity, elapsed: float) -> None:
            installed = sum(1 for _ in fresh.glob("lib/python3*/site-packages/*.dist-info"))
            report(packages(step, min(installed, len(pins)), str(activity), activity.eta_seconds(elapsed)))

        return on_progress

    report(packages("preparing", 0, f"{wanted} build, in {root}"))
    uv = Uv(held=lock)
    uv.run(["venv", "--relocatable", "--python", _base_python(), str(fresh)], root.parent)
    python = fresh / "bin" / "python"
    torch = next(str(pin) for pin in pins if pin.name == "torch")
    # Where a CPU build is offered beside the registry's, plain `==` takes it: 2.13.0+cpu is the higher version.
    torch += f",!={torch.partition('==')[2]}+cpu" if wanted == "cuda" else ""
    uv.install(python, ["--constraint", str(stack.LIST), torch], report_step("installing torch"))
    others = [str(pin) for pin in pins if pin.group in ("stack", "needs")]
    uv.install(python, ["--no-deps", *others], report_step("installing the stack"))
    if wrong := [package.name for package in stack.describe(python).packages if package.state != "ok"]:
        raise EnvironmentMissing(f"The set-up left something out: {', '.join(wrong)}", "Run codex-tui setup again.")

    seconds = round(time.monotonic() - started, 1)
    stamp = {"list": stack.fingerprint(), "build": wanted, "forced": forced, "seconds": seconds}
    (fresh / STAMP).write_text(json.dumps(stamp) + "\n")
    old = root.with_name("codex-train.old")
    shutil.rmtree(old, ignore_errors=True)
    if root.exists():
        root.rename(old)
    fresh.rename(root)
    shutil.rmtree(old, ignore_errors=True)
    report(packages("ready", len(pins), f"in {seconds:.0f} s"))
    return root / "bin" / "python"


def _base_python() -> str:
    """The app's own Python where the stack runs on it, else what uv may find on this machine."""
    if stack.OLDEST_PYTHON <= sys.version_info[:2] <= stack.NEWEST_PYTHON:
        return sys.executable
    return ">=3.11,<3.14"


def _check_room(root: Path, wanted: str) -> None:
    free = shutil.disk_usage(root.parent).free / 2**30
    if free < GIB_NEEDED[wanted]:
        raise EnvironmentMissing(
            f"The training environment needs about {GIB_NEEDED[wanted]} GiB in {root.parent}, {free:.1f} GiB is free",
            "Free some space, or put the data elsewhere with CODEX_TUI_HOME.",
        )


def _check_unused(root: Path) -> None:
    """A trainer imports as it goes: replacing its packages under it would end it in a strange way."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        if (process.info["cmdline"] or [""])[0].startswith(f"{root}/"):
            raise BadInput(
                f"The environment is to be replaced, and process {process.info['pid']} is running in it",
                "Stop the run (codex-tui stop RUN) or leave the chat, then run codex-tui setup again.",
            )
