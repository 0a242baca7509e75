"""Finds the Python that trains: one that the person named, or the managed environment `codex-train`, built here.

The environment is built in a folder beside its final place and renamed when it is complete. A stamp file inside names
its package list and its build of torch. So a setup that was killed starts again (uv keeps its downloads), and one small
file shows that the environment is up to date.
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
from codex_tui.base.errors import BadInput, EnvironmentMissing, EnvironmentNotBuilt, convert_os_error
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.environment import stack, tracker_pins
from codex_tui.environment.uv import Activity, Uv
from codex_tui.machine import gpu
from training.contract.files import name_path_in_errors

Build = Literal["auto", "cpu", "cuda"]
STAMP = "codex-train.json"
GIB_NEEDED = {"cpu": 2, "cuda": 9}


def find_python() -> Path:
    """Return the Python that `--python` or the settings name, else the managed one. Nothing else is ever started: a run
    may be copied from anywhere, so its config.json has no say. Raises EnvironmentMissing if that Python can't train."""
    if named := find_named_python():
        return _check_python(named)
    if python := find_managed_python():
        return python
    raise EnvironmentNotBuilt(GIB_NEEDED[_choose_torch_build("auto")])


def find_named_python() -> Path | None:
    """Return the Python that `--python` or the settings name, without a check. None means the managed one."""
    if named := settings.find_named_python():
        python = locations.expand_home(named).absolute()  # not resolved: Python finds its venv by this path
        return python / "bin" / "python" if python.is_dir() else python  # the folder of an environment is accepted too
    return None


def ensure(report: OnProgress, *, build: Build = "auto") -> Path:
    """Return the trainer's Python. Builds the managed environment first if it is missing, or if its package list or its
    build of torch is not the right one. Raises EnvironmentMissing if that fails."""
    if named := find_named_python():
        return _check_python(named)
    if ready := find_managed_python(build):
        return ready
    root = locations.managed_environment()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(root.with_name("codex-train.lock"), report) as lock:
            # Another process may have built it while this one waited for the lock.
            return find_managed_python(build) or _build(root, build, report, lock)
    except OSError as error:
        raise EnvironmentMissing(
            f"The environment cannot be built at {root}: {error.strerror or error}",
            "Set CODEX_TUI_HOME to use another folder.",
        ) from None


def managed_python() -> Path:
    """Return where the managed Python is once the environment is built."""
    return locations.managed_environment() / "bin" / "python"


def find_managed_python(build: Build = "auto") -> Path | None:
    """Return the managed Python if it is complete, and its package list and build are right; else None. Only looks at
    files, for a tenth of a second."""
    python = managed_python()
    stamp = read_stamp()
    if stamp.get("list") != stack.hash_pins() or not python.exists():  # the Python that it was made from may be gone
        return None
    if build == "auto":
        # A GPU that is missing for a while is no reason to rebuild. A new GPU is.
        is_right = stamp.get("forced") or stamp.get("build") == "cuda" or not gpu.nvidia_present()
    else:
        is_right = stamp.get("build") == build
    return python if is_right and stack.is_complete(locations.managed_environment()) else None


def read_stamp() -> dict[str, object]:
    """Read the stamp {"list": hash, "build": "cpu" | "cuda", "forced": bool, "seconds": setup time}; {} if missing."""
    with suppress(OSError, ValueError, RecursionError):
        stamp = json.loads((locations.managed_environment() / STAMP).read_bytes())
        if isinstance(stamp, dict):
            return stamp
    return {}


def make_trainer_path() -> Path:
    """Return a folder that contains only our `training` package. With it as PYTHONPATH, `python -m training` finds the
    trainer, and the app's other packages do not shadow the trainer's. Raises CodexError if it can't be made."""
    package = Path(__file__).resolve().parents[2] / "training"
    # One folder for each copy of the app, so that no other copy changes it while a trainer runs.
    folder = locations.cache_home() / "trainer-path" / hashlib.sha256(os.fsencode(package)).hexdigest()[:12]
    link = folder / "training"
    if not link.is_symlink() or link.readlink() != package:
        try:
            with name_path_in_errors(link):
                folder.mkdir(parents=True, exist_ok=True)
                fresh = folder / f".training-{os.getpid()}"
                fresh.symlink_to(package, target_is_directory=True)
                fresh.replace(link)
        except OSError as error:
            raise convert_os_error(error) from None
    return folder


def _check_python(python: Path) -> Path:
    _require(python)
    return python


@functools.cache
def _require(python: Path) -> None:
    stack.require(stack.describe(python))


@contextmanager
def hold_lock(path: Path, report: OnProgress) -> Iterator[int]:
    """Hold the lock that allows one setup at a time. Yields its file descriptor. If the setup dies, the kernel frees
    the lock once its uv process has ended too."""
    with path.open("w") as file:
        waited = 0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                report(Progress("waiting", detail=f"for another setup, {waited // 2} s so far"))
                time.sleep(0.5)
                waited += 1
        yield file.fileno()


def _choose_torch_build(build: Build) -> str:
    return build if build != "auto" else "cuda" if gpu.nvidia_present() else "cpu"


def _build(root: Path, build: Build, report: OnProgress, lock: int) -> Path:
    torch_build = _choose_torch_build(build)
    fresh = root.with_name("codex-train.new")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a setup that was killed
    _check_room(root, torch_build)
    _check_unused(root)
    try:
        return _build_in(fresh, root, torch_build, build != "auto", report, lock)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # an incomplete environment is useless and has gigabytes


def _build_in(fresh: Path, root: Path, torch_build: str, forced: bool, report: OnProgress, lock: int) -> Path:
    started = time.monotonic()
    pins = [pin for pin in stack.load_pins() if pin.group != "cuda" or torch_build == "cuda"]

    def packages(step: str, done: int, detail: str, seconds_left: float | None = None) -> Progress:
        return Progress(step, done, len(pins), "packages", detail, seconds_left)

    def report_step(step: str) -> Callable[[Activity, float], None]:
        def on_progress(activity: Activity, elapsed: float) -> None:
            installed = sum(1 for _ in fresh.glob("lib/python3*/site-packages/*.dist-info"))
            report(packages(step, min(installed, len(pins)), str(activity), activity.estimate_seconds_left(elapsed)))

        return on_progress

    report(packages("preparing", 0, f"{torch_build} build, in {root}"))
    uv = Uv(lock)
    uv.run(["venv", "--relocatable", "--python", _choose_base_python(), str(fresh)], root.parent)
    python = fresh / "bin" / "python"
    torch = next(str(pin) for pin in pins if pin.name == "torch")
    # If an index also has a CPU build, plain `==` would choose it, because 2.13.0+cpu is the higher version.
    torch += f",!={torch.partition('==')[2]}+cpu" if torch_build == "cuda" else ""
    uv.install(python, ["--constraint", str(stack.PINS_FILE), torch], report_step("installing torch"))
    others = [str(pin) for pin in pins if pin.group in ("stack", "needs")]
    uv.install(python, ["--no-deps", *others], report_step("installing the stack"))
    if kept := tracker_pins.find_installed(root):
        with suppress(EnvironmentMissing):  # training does without them; a launch that wants them says what to install
            tracker_pins.install(uv, python, kept, lambda one: report(packages(one.step, len(pins), one.detail)))
    if missing := [package.name for package in stack.describe(python).packages if package.state != "ok"]:
        raise EnvironmentMissing(f"The setup did not install: {', '.join(missing)}", "Run codex-tui setup again.")

    seconds = round(time.monotonic() - started, 1)
    stamp = {"list": stack.hash_pins(), "build": torch_build, "forced": forced, "seconds": seconds}
    (fresh / STAMP).write_text(json.dumps(stamp) + "\n")
    old = root.with_name("codex-train.old")
    shutil.rmtree(old, ignore_errors=True)
    if root.exists():
        root.rename(old)
    fresh.rename(root)
    shutil.rmtree(old, ignore_errors=True)
    report(packages("ready", len(pins), f"in {seconds:.0f} s"))
    return managed_python()


def _choose_base_python() -> str:
    """Return the app's own Python if the stack supports it, else a version range for uv to find on this machine."""
    if stack.MIN_PYTHON <= sys.version_info[:2] <= stack.MAX_PYTHON:
        return sys.executable
    return ">=3.11,<3.14"


def _check_room(root: Path, torch_build: str) -> None:
    free = shutil.disk_usage(root.parent).free / 2**30
    needed = GIB_NEEDED[torch_build]
    if free < needed:
        raise EnvironmentMissing(
            f"The training environment needs about {needed} GiB in {root.parent}; {free:.1f} GiB is free",
            "Free some space, or set CODEX_TUI_HOME to a folder on another disk.",
        )


def _check_unused(root: Path) -> None:
    """Raise BadInput if a process uses the environment. A trainer imports modules while it runs, so replacing its
    packages would make it fail in odd ways."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        if (process.info["cmdline"] or [""])[0].startswith(f"{root}/"):
            raise BadInput(
                f"The environment can't be replaced while process {process.info['pid']} uses it",
                "Stop the run (codex-tui stop RUN) or leave the chat, then run codex-tui setup again.",
            )
